"""Making of what the package ships but does not compute: the body, the dense network's weights."""
