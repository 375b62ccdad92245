"""From a picture or a video to people: where they are, who they are, poses, actions."""
