"""The roles of staff, each with its name; a later one may do all that those before it may."""

ROLES = {"viewer": "查看", "editor": "编辑", "admin": "管理"}
_ORDER = list(ROLES)


def may(role: str, least: str) -> bool:
    """Whether an account of this role has the rights of the other."""
    return _ORDER.index(role) >= _ORDER.index(least)
