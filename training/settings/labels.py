"""Names that every corpus is read into: splits, emotion classes, and the word for an unknown speaker or gender.

The rated dimensions are `speech_affect.DIMENSIONS`.
"""

SPLITS = ("train", "development", "test1", "test2", "test3")
# splits that decide what is learnt
LEARNT_FROM = ("train", "development")
# the split that cross-validation tests on
TEST_SPLIT = "test1"
# the split whose labels a corpus may withhold
WITHHELD_SPLIT = "test3"
MIN_FOLDS = 3  # one group of speakers to test, one to develop, at least one to train on
UNKNOWN = "Unknown"
# code of a class -> its name
EMOTIONS = {
    "A": "anger",
    "H": "happiness",
    "S": "sadness",
    "N": "neutral",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "O": "other",
    "X": "no agreement",
}
# what a table or a grader may call a class, in lower case -> its code
EMOTION_WORDS = {
    **{code.casefold(): code for code in EMOTIONS},
    **{name: code for code, name in EMOTIONS.items()},
    **{"angry": "A", "happy": "H", "joy": "H", "sad": "S", "surprised": "U", "fearful": "F", "disgusted": "D"},
}
