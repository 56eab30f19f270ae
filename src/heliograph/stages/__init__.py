"""Stages as data: what triggers one, what it checks, what it runs, what shows that it is done."""
