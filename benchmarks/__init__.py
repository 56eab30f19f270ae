"""Measurements that anybody can repeat. Nothing in the package or its tests depends on them."""
