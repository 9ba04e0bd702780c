"""From a video file to keypoints. Knows no folders and no claims."""
