"""What runs inside a sandbox: the resident runner, sent there as text (`sage_gym.sandbox.shipping`).

These modules need Python 3.9 or later and its standard library alone, import each other relatively (inside, their
package has another name), and leave out what is slow to import (dataclasses, typing): a cold start pays for it.
"""
