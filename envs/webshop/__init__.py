"""WebShop in pure Python: search, results, item pages and a purchase, scored as upstream scores it."""
