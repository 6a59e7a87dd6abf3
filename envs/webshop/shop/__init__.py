"""Generated shops in upstream WebShop's file formats: the embedded one, and the one sage-nano is trained on."""

from envs.webshop.shop.catalog import write_catalog

__all__ = ["write_catalog"]
