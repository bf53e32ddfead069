"""Evaluation: every example once, and intervals against references."""

import jax
import numpy as np
import pytest

from jaxvision import metrics, rng
from jaxvision.training import evaluation, parallel
from jaxvision.training.evaluators import classification

DRAW = np.random.default_rng(0)


def test_a_share_of_nothing():
    assert evaluation.share_of(0, 0) == {'value': 0.0, 'ci95': [0.0, 1.0]}


def test_gap_reproduces_newcombes_own_example():
    """Newcombe (1998), table II, example (a): 56/70 - 48/80 by method 10 is 0.0524 to 0.3339."""
    summary = {name: {'error': evaluation.share_of(hits, n)} for name, hits, n in (('test', 56, 70), ('train', 48, 80))}
    found = evaluation.gap(summary['train'], summary['test'])
    assert found['value'] == pytest.approx(0.2)
    np.testing.assert_allclose(found['ci95'], [0.0524, 0.3339], atol=5e-5)


def test_bootstrap_of_means_has_the_textbook_spread():
    values = DRAW.normal(3.0, 2.0, (400, 1))
    means = evaluation.bootstrap_means(values)[:, 0]
    assert means.shape == (evaluation.RESAMPLES,)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * values.std() / 20 / np.sqrt(evaluation.RESAMPLES))
    assert means.std() == pytest.approx(values.std() / 20, rel=0.1)
    np.testing.assert_array_equal(means, evaluation.bootstrap_means(values)[:, 0])


def test_bootstrap_in_chunks_counts_every_draw():
    ones = np.ones((5_000, 1))  # Large enough for several chunks.
    np.testing.assert_allclose(evaluation.bootstrap_means(ones), 1.0)


def test_bootstrapped_calibration_error_is_that_of_the_resample():
    """With one example a resample is the sample: each of them has the sample's own ECE."""
    confidence, correct = np.array([0.7]), np.array([True])
    expected = metrics.calibration_error(confidence, correct)
    np.testing.assert_allclose(classification.bootstrap_calibration_errors(confidence, correct), expected)


def test_summary_against_its_parts():
    logits = DRAW.normal(size=(300, 7)) * 3
    labels = DRAW.integers(0, 7, 300)
    summary = classification.summarize(logits, labels)
    assert summary['n'] == 300
    assert summary['accuracy']['value'] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    assert summary['error']['value'] == pytest.approx(1 - summary['accuracy']['value'])
    low, high = summary['accuracy']['ci95']
    assert summary['error']['ci95'] == pytest.approx([1 - high, 1 - low])
    log_probabilities = np.asarray(jax.nn.log_softmax(logits))
    assert summary['loss'] == summary['nll']['value']
    assert summary['loss'] == pytest.approx(-log_probabilities[np.arange(300), labels].mean(), rel=1e-5)
    for name in ('accuracy', 'error', 'top5_accuracy', 'nll'):
        low, high = summary[name]['ci95']
        assert low < summary[name]['value'] < high, name


def test_fitted_temperature_undoes_a_known_one():
    """Labels drawn from softmax(z), logits given as 3 z: the fitted temperature is 3."""
    z = DRAW.normal(size=(20_000, 5)) * 2
    labels = (np.cumsum(metrics.probabilities(z), axis=1) > DRAW.random((20_000, 1))).argmax(axis=1)
    assert classification.fit_temperature(3 * z, labels) == pytest.approx(3.0, rel=0.03)
    after = classification.calibrate((3 * z, labels), (3 * z[:5_000], labels[:5_000]))
    assert after['test_ece_after'] < 0.02 < after['test_ece_before']
    assert after['test_nll_after'] < after['test_nll_before']


def fake(train_hits: int, test_hits: int, n: int = 1_000):
    return tuple({'error': evaluation.share_of(n - hits, n)} for hits in (train_hits, test_hits))


@pytest.mark.parametrize(
    ('train', 'test', 'begins'),
    [
        (1_000, 900, 'Overfitting'),
        (700, 690, 'Underfitting'),
        (700, 600, 'More underfitting than overfitting'),
        (1_000, 995, 'Neither'),
        (985, 980, 'Too few examples'),
        (990, 1_000, 'Neither'),
        (980, 998, 'Neither'),
    ],
)
def test_verdicts(train, test, begins):
    sentence = evaluation.verdict(*fake(train, test))
    assert sentence.startswith(begins)
    assert f'clean train error {1 - train / 1_000:.1%}' in sentence
    assert f'test error {1 - test / 1_000:.1%}' in sentence
    assert sentence.count('.') >= 1 and sentence.endswith('.')


def test_a_call_evaluates_more_on_an_accelerator(monkeypatch):
    assert evaluation.batch_size((28, 28, 1)) == 128
    assert evaluation.batch_size((512, 512, 3)) == 16
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    assert evaluation.batch_size((28, 28, 1)) == 2000
    assert [evaluation.batch_size((28, 28, 1), networks) for networks in (1, 2, 64)] == [2000, 1000, 128]
    assert evaluation.batch_size((512, 512, 3)) == 16


@pytest.mark.parametrize('kind', parallel.KINDS)
@pytest.mark.parametrize('count', [1, 383, 384, 385, 1_003])
def test_every_example_is_counted_once(kind, count):
    mapped = parallel.Parallel(kind, jax.devices()[:3])
    predict = mapped.predict(lambda variables, context, ids, *, axis_name: ids[:, None] * variables)
    ids = rng.generator(0, 'order').permutation(5_000)[:count].astype(np.int32)
    found = evaluation.collect(predict, mapped.replicate(np.float32(2)), mapped.replicate({}), ids, mapped, 128)
    np.testing.assert_array_equal(found[:, 0], 2 * ids)
