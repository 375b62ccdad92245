"""Training of what reads skeletons: the lifter, and the search for the network of actions."""
