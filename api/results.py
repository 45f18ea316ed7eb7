"""Read what a run wrote.

from bodystream.results import read

for result in read("dance.jsonl"):
    for person in result.people:
        print(result.index, float(result.pts), person.id, person.landmarks)
"""

from bodystream.pipeline.record import Recording, read

__all__ = ["Recording", "read"]
