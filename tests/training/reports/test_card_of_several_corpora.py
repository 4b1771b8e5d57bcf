"""The card of a model trained on several corpora: what listeners rated is apart from what stands for words."""

from speech_affect import DIMENSIONS
from speech_affect_training.reports.model_card import build_card

from .test_model_card import entry, numbers, rounded, section, table


def test_listeners_and_words_never_share_a_table(several):
    card = build_card(several, "student_kd")
    text, scores = card.text, entry(several, "student_kd")["splits"]
    assert "**Listeners rated activation and valence of a alone.**" in text and "Nobody rated dominance" not in text
    heard = section(text, "cv5, by listeners: 535 clips by 10 speakers", 3)
    head, *rows = table(heard)
    assert head == ["", "CCC", "95% interval", "one further listener"]
    assert [row[0] for row in rows] == ["activation", "valence", "dominance", "mean (activation, valence)"]
    assert [row[-1] for row in rows] == ["0.91", "0.62", "", "0.77"] and rows[2][1] == "not rated"
    assert "One further listener: CCC of each" in heard and "word" not in heard
    words = section(text, "cv5, by the emotion's word: 535 clips by 10 speakers", 3)
    assert "no listener gave these labels" in words and "further listener" not in words
    assert table(words)[0] == ["", "CCC", "95% interval"] and table(words)[-1][0] == "mean"
    left_out = section(text, "left_out, by the emotion's word: 535 clips by 10 speakers", 3)
    assert "trained on the other corpora alone" in left_out and "not these weights" in left_out
    for kind in ("corpus", "language", "gender"):
        apart = [table(section(text, f"By {kind}{view}", 3)) for view in ("", ", by the emotion's word")]
        assert [{row[0] for row in rows[1:]} for rows in apart] == [{"cv5"}, {"cv5_by_word", "left_out_by_word"}]
    rows = table(section(text, "By corpus, by the emotion's word", 3))[1:]
    assert [row[1] for row in rows] == ["a", "b", "a", "b"]
    assert numbers(rows[1][3])[0] == rounded(scores["cv5_by_word"]["by_corpus"]["b"]["ccc"]["activation"])
    against = [
        table(section(text, f"Against other systems{view}", 3))[1][0] for view in ("", ", by the emotion's word")
    ]
    assert against == ["cv5", "cv5_by_word"]
    assert "once in each of 5 folds and once without each of 2 corpora" in section(text, "Compute and energy")
    assert "all of 2 corpora (language: fi)" in section(text, "Limits")
    names = {(result.dataset_split, result.metric_name) for result in card.data.eval_results}
    assert ("cv5", "CCC mean (activation, valence) (5-fold, by speaker)") in names
    assert ("cv5_by_word", "CCC dominance (5-fold, by speaker, by the emotion's word)") in names
    assert ("left_out_by_word", "CCC mean (by the emotion's word)") in names
    assert not any(split == "cv5" and "dominance" in name for split, name in names)


def test_where_listeners_rated_nothing_it_is_said(several):
    several["corpus"]["corpora"]["a"]["word_labelled"] = list(DIMENSIONS)
    for system in several["systems"]:
        del system["splits"]["cv5"]
    several["corpus"]["facts"]["rated"] = False
    several["corpus"]["word_labelled"] = []
    text = build_card(several, "student_kd").text
    assert "**Nobody rated the clips" in text and "Listeners rated" not in text
