"""A shop for one hot item. `front.py` faces customers, `inventory.py` counts the stock."""
