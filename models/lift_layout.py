"""What lift-s is given of a person and what it gives: constants that network, training and run share.

Joints, in this order: left and right shoulder, elbow, wrist, hip, knee, ankle; nose; left and right toe.
"""

LANDMARKS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 0, 31, 32)  # of BlazePose's 33
JOINTS = len(LANDMARKS)
SHOULDERS, ELBOWS, WRISTS, HIPS, KNEES, ANKLES = (slice(i, i + 2) for i in range(0, 12, 2))
NOSE, TOES = 12, slice(13, 15)

# Of the input's 93 numbers. All are in the person's view: see `models.lift_input`.
POINTS = slice(
    0, 30
)  # x, y of the joints in the picture, from between the hips, over the mean of their distances
EXTENT = slice(30, 31)  # logarithm of that mean
SURE = slice(31, 46)  # confidences, 0..1
WORLD = slice(46, 91)  # x, y, z of the landmark net's own metric joints, from between the hips, over SIZE_M
UP = slice(91, 93)  # cosine and sine of the turn from the picture's up to the person's
INPUTS = 93

# Metres of torso, thigh and shank together, of the mean body: what the network takes for one, since it cannot tell
# a large person far away from a small one.
SIZE_M = 1.33
