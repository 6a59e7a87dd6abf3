"""What plans are composed of: lookups, people, transforms, ends; each with its tools, its types and its words."""
