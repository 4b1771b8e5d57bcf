"""Names that every corpus is read into: splits, emotion classes, and the word for an unknown speaker or gender.

The rated dimensions are `speech_affect.DIMENSIONS`.
"""

from speech_affect import DIMENSIONS


SPLITS = ("train", "development", "test1", "test2", "test3")
# splits that decide what is learnt
LEARNT_FROM = ("train", "development")
# the split that cross-validation tests on
TEST_SPLIT = "test1"
# the split whose labels a corpus may withhold
WITHHELD_SPLIT = "test3"
MIN_FOLDS = 3  # one group of speakers to test, one to develop, at least one to train on
UNKNOWN = "Unknown"
# what a system can learn of a corpus
LABELS = (*DIMENSIONS, "emotion")
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
    "B": "boredom",
    "K": "calm",
    "O": "other",
    "X": "no agreement",
}
# what a table or a grader may call a class, in lower case -> its code
EMOTION_WORDS = {
    **{code.casefold(): code for code in EMOTIONS},
    **{name: code for code, name in EMOTIONS.items()},
    **{"angry": "A", "happy": "H", "joy": "H", "sad": "S", "surprised": "U", "fearful": "F", "disgusted": "D"},
    **{"bored": "B", "calmness": "K"},
}
# code of a class -> mean rating of its word in activation, valence and dominance, from -1 to 1 (Russell and Mehrabian
# 1977): a stand-in for the ratings of clips that nobody rated
WORD_RATINGS = {
    "A": (0.59, -0.51, 0.25),
    "H": (0.51, 0.81, 0.46),
    "S": (-0.27, -0.63, -0.33),
    "N": (0.0, 0.0, 0.0),
    "U": (0.67, 0.40, -0.13),
    "F": (0.60, -0.64, -0.43),
    "D": (0.35, -0.60, 0.11),
    "B": (-0.62, -0.65, -0.33),
    "K": (-0.46, 0.68, 0.20),
}
# the corpus of speech that nobody labelled
UNLABELLED = "unlabelled"
# the rating scale of labels that are those of the emotion's word
WORD_SCALE = "word"
