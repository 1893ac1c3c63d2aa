"""`make demo`: one real call from the cell to the browser and back, seen from every side."""
