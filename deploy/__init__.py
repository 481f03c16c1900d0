"""What is put on other machines: nothing of the program imports it, but for the simulator."""
