"""``esteira local up`` and the demo."""
