"""What is plugged into the box or hangs in a cell: modems, phones, serial boards, the disk."""
