"""What everything else stands on: joints, coordinates, cameras, the records that travel."""
