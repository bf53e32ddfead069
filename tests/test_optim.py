"""Optimizers against their textbook steps in float64, schedules at every step, and what decays."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxvision import models, optim

FIXED = settings(max_examples=60, deadline=None, derandomize=True)

START = {'dense': {'kernel': np.array([[1.0, -2.0], [0.5, 3.0]]), 'bias': np.array([0.3, -0.7])}}
LEARNING_RATE, DECAY, MOMENTUM, B2 = 0.1, 0.05, 0.8, 0.95


def gradients(step):
    """Some gradients, others at each step."""
    return jax.tree.map(lambda leaf: np.cos(leaf.size + 3 * leaf + step) * (step + 1), START)


def stepped(chain, steps=3):
    """The weights after each step, by optax in float32."""
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), START)
    state = chain.init(params)
    for step in range(steps):
        updates, state = chain.update(jax.tree.map(jnp.float32, gradients(step)), state, params)
        params = optax.apply_updates(params, updates)
        yield params


class Sgd:
    def direction(self, gradient):
        return gradient


class Momentum:
    """Polyak's: the velocity is the decayed sum of gradients."""

    velocity = 0.0

    def direction(self, gradient):
        self.velocity = gradient + MOMENTUM * self.velocity
        return self.velocity


class Nesterov(Momentum):
    """Sutskever et al. 2013: the gradient step that follows a look ahead along the velocity."""

    def direction(self, gradient):
        return gradient + MOMENTUM * super().direction(gradient)


class Adam:
    """Kingma and Ba 2015, algorithm 1."""

    first, second, count = 0.0, 0.0, 0

    def direction(self, gradient):
        self.count += 1
        self.first = MOMENTUM * self.first + (1 - MOMENTUM) * gradient
        self.second = B2 * self.second + (1 - B2) * gradient**2
        first, second = self.first / (1 - MOMENTUM**self.count), self.second / (1 - B2**self.count)
        return first / (np.sqrt(second) + 1e-8)


class Muon:
    """Jordan 2024: Nesterov's momentum, made orthogonal by Newton and Schulz's iteration of the fifth degree.

    The momenta are means, each divided by what its weights sum to, as optax has it.
    """

    mean, count = 0.0, 0

    def direction(self, gradient):
        if gradient.ndim < 2:
            raise AssertionError('what is no matrix goes by Nesterov')
        self.count += 1
        self.mean = MOMENTUM * self.mean + (1 - MOMENTUM) * gradient
        ahead = MOMENTUM * self.mean / (1 - MOMENTUM ** (self.count + 1))
        return newton_schulz(ahead + (1 - MOMENTUM) * gradient / (1 - MOMENTUM**self.count))


def newton_schulz(matrix, iterations=5):
    """[inputs, outputs] -> nearly U V^T of its U S V^T, times sqrt(outputs / inputs) where that is above 1."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(iterations):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x * np.sqrt(max(1, x.shape[1] / x.shape[0]))


REFERENCES = {'sgd': Sgd, 'momentum': Momentum, 'nesterov': Nesterov, 'adam': Adam, 'adamw': Adam, 'muon': Muon}


def reference(name, leaf):
    return Nesterov() if name == 'muon' and leaf == 'bias' else REFERENCES[name]()


def by_hand(name, decay, steps=3):
    """The weights after each step, in float64."""
    weights = {leaf: value.copy() for leaf, value in START['dense'].items()}
    rules = {leaf: reference(name, leaf) for leaf in weights}
    for step in range(steps):
        for leaf, gradient in gradients(step)['dense'].items():
            shrink = DECAY * weights[leaf] if leaf == 'kernel' else 0.0
            if decay == 'coupled':
                update = rules[leaf].direction(gradient + shrink)
            else:
                update = rules[leaf].direction(gradient) + (shrink if decay == 'decoupled' else 0.0)
            weights[leaf] = weights[leaf] - LEARNING_RATE * update
        yield {'dense': dict(weights)}


def chain(name, decay, **kwargs):
    values = {'learning_rate': LEARNING_RATE, 'momentum': MOMENTUM, 'other_momentum': MOMENTUM, 'b2': B2, **kwargs}
    if decay != 'none':
        values |= {'weight_decay': DECAY, 'decay': decay}
    return optim.chain(name, **values)


def assert_close(got, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), got, expected)


@pytest.mark.parametrize('decay', ['none', 'decoupled', 'coupled'])
@pytest.mark.parametrize('name', optim.OPTIMIZERS)
def test_first_steps_by_hand(name, decay):
    if name == 'adamw' and decay == 'coupled':
        decay = 'decoupled'  # It is so by definition.
    for got, expected in zip(stepped(chain(name, decay)), by_hand(name, decay), strict=True):
        assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_coupled_and_decoupled_are_one_for_sgd_and_differ_for_adam():
    def last(name, decay):
        *_, params = stepped(chain(name, decay))
        return params['dense']['kernel']

    np.testing.assert_allclose(last('sgd', 'coupled'), last('sgd', 'decoupled'), rtol=1e-6)
    assert not np.allclose(last('adam', 'coupled'), last('adam', 'decoupled'), rtol=1e-3)


def test_momentum_of_zero_is_sgd():
    for name in ('momentum', 'nesterov'):
        for got, expected in zip(stepped(chain(name, 'none', momentum=0.0)), by_hand('sgd', 'none'), strict=True):
            assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_norm_of_the_gradient_is_clipped_before_all_else():
    limit = 0.5
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradients(0))))
    assert norm > limit
    (got,) = stepped(chain('sgd', 'coupled', clip=limit), 1)
    clipped = jax.tree.map(lambda leaf: leaf * limit / norm, gradients(0))
    clipped['dense']['kernel'] = clipped['dense']['kernel'] + DECAY * START['dense']['kernel']
    assert_close(got, jax.tree.map(lambda p, g: p - LEARNING_RATE * g, START, clipped), rtol=1e-5, atol=1e-6)
    for clip in (0.0, 2 * norm):
        (got,) = stepped(chain('sgd', 'none', clip=clip), 1)
        assert_close(got, next(by_hand('sgd', 'none')), rtol=1e-5, atol=1e-6)


def test_learning_rate_and_weight_decay_are_traced():
    traces = []

    @jax.jit
    def step(params, state, grads, learning_rate, weight_decay):
        traces.append(1)
        rule = optim.chain('adam', learning_rate=learning_rate, weight_decay=weight_decay, momentum=MOMENTUM, b2=B2)
        updates, state = rule.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.float32, START)
    state = optim.chain('adam', learning_rate=0.0, weight_decay=0.0).init(params)
    grads = jax.tree.map(jnp.float32, gradients(0))
    bare, _ = step(params, state, grads, 0.1, 0.0)
    for learning_rate, weight_decay in ((0.1, 0.3), (0.2, 0.0)):
        got, _ = step(params, state, grads, learning_rate, weight_decay)
        expected = jax.tree.map(lambda p, b: p + (b - p) * learning_rate / 0.1, params, bare)  # noqa: B023
        expected['dense']['kernel'] -= learning_rate * weight_decay * params['dense']['kernel']
        assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert len(traces) == 1


def test_learning_rate_may_be_a_schedule():
    rule = optim.chain('sgd', learning_rate=lambda step: 0.1 * (step + 1))
    params = START
    for step, got in enumerate(stepped(rule)):
        params = jax.tree.map(lambda p, g: p - 0.1 * (step + 1) * g, params, gradients(step))  # noqa: B023
        assert_close(got, params, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [({'name': 'adagrad'}, "unknown optimizer 'adagrad'"), ({'name': 'sgd', 'decay': 'l1'}, "unknown decay 'l1'")],
)
def test_unknown_names_are_refused(kwargs, said):
    with pytest.raises(ValueError, match=said):
        optim.chain(**kwargs, learning_rate=0.1)


# Muon.


def test_muon_moves_a_convolution_as_the_matrix_from_its_patches():
    draw = np.random.default_rng(0)
    kernel, gradient = (draw.normal(size=(3, 3, 2, 5)).astype(np.float32) for _ in range(2))
    params, gradients = {'conv': {'kernel': kernel}}, {'conv': {'kernel': gradient}}
    rule = optim.chain('muon', learning_rate=1.0, momentum=0.0, newton_schulz=3)
    updates, _ = rule.update(gradients, rule.init(params), params)
    expected = -newton_schulz(np.float64(gradient).reshape(18, 5), 3)
    np.testing.assert_allclose(updates['conv']['kernel'].reshape(18, 5), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('name', 'shape', 'matrix'),
    [('query', (6, 2, 4), (6, 8)), ('out', (2, 4, 6), (8, 6))],
)
def test_muon_knows_what_attention_reads(name, shape, matrix):
    gradient = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    params = {'attention': {name: {'kernel': gradient}}}
    rule = optim.chain('muon', learning_rate=1.0, momentum=0.0)
    updates, _ = rule.update(params, rule.init(params), params)
    got = updates['attention'][name]['kernel'].reshape(matrix)
    np.testing.assert_allclose(got, -newton_schulz(np.float64(gradient).reshape(matrix)), rtol=1e-4, atol=1e-4)


def test_muon_leaves_the_head_to_nesterov():
    params = {'ClassifierHead_0': {'logits': {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}}}
    muon = optim.chain('muon', learning_rate=0.1, momentum=0.3, other_momentum=0.8)
    nesterov = optim.chain('nesterov', learning_rate=0.1, momentum=0.8)
    states = [rule.init(params) for rule in (muon, nesterov)]
    for factor in (1.0, -0.5):
        gradients = jax.tree.map(lambda leaf: factor * leaf, params)  # noqa: B023
        got, states[0] = muon.update(gradients, states[0], params)
        expected, states[1] = nesterov.update(gradients, states[1], params)
        assert_close(got, expected, rtol=1e-6)


@pytest.mark.parametrize(('name', 'shape', 'outputs'), [('query', (6, 3, 4), 12), ('out', (3, 4, 6), 6)])
def test_normalized_kernels_of_attention_put_out_all_heads(name, shape, outputs):
    kernel = jnp.asarray(np.random.default_rng(3).normal(size=shape), jnp.float32)
    params = {'attention': {name: {'kernel': kernel}}}
    rule = optim.chain('muon', learning_rate=0.0, normalize=True)
    step, _ = rule.update(params, rule.init(params), params)
    norm = np.linalg.norm(kernel + step['attention'][name]['kernel'])
    np.testing.assert_allclose(norm, np.sqrt(outputs), rtol=1e-5)


def test_normalized_kernels_step_from_a_norm_of_their_own():
    draw = np.random.default_rng(2)
    params = {
        'dense': {'kernel': jnp.asarray(draw.normal(size=(7, 4)), jnp.float32), 'bias': jnp.ones(4)},
        'zero': {'kernel': jnp.zeros((3, 2))},
    }
    gradients = jax.tree.map(lambda leaf: jnp.asarray(draw.normal(size=leaf.shape), jnp.float32), params)
    values = {'learning_rate': 0.1, 'weight_decay': 0.2, 'decayed': 'all'}
    plain, normed = (optim.chain('muon', **values, normalize=normalize) for normalize in (False, True))
    step = {rule: rule.update(gradients, rule.init(params), params)[0] for rule in (plain, normed)}
    kernel = params['dense']['kernel']
    start = kernel * np.sqrt(4) / np.linalg.norm(kernel)
    # It has no length to lose: decay does not act on it.
    moved = start + step[plain]['dense']['kernel'] + 0.1 * 0.2 * kernel
    np.testing.assert_allclose(kernel + step[normed]['dense']['kernel'], moved, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(step[normed]['dense']['bias'], step[plain]['dense']['bias'])
    assert np.isfinite(step[normed]['zero']['kernel']).all()


# What decays, and at which rate each parameter moves.


def test_groups_have_rates_of_their_own():
    params = {
        'hidden': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
        'head': {'logits': {'kernel': jnp.ones((2, 3)), 'bias': jnp.ones(3)}},
    }
    rule = optim.chain('sgd', learning_rate=0.1, weight_decay=0.5, rates={'head': 2.0, 'bias': 3.0})
    got, _ = rule.update(params, rule.init(params), params)
    # The decay is that of the learning rate, whatever the group's.
    for leaf, expected in (('kernel', -0.1 - 0.05), ('bias', -0.3)):
        np.testing.assert_allclose(got['hidden'][leaf], expected, rtol=1e-6)
    for leaf, expected in (('kernel', -0.2 - 0.05), ('bias', -0.3)):
        np.testing.assert_allclose(got['head']['logits'][leaf], expected, rtol=1e-6)


def test_all_decays_where_it_is_asked_to():
    params = {'hidden': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)}}
    for decayed, bias in (('kernels', 0.0), ('all', -0.05)):
        rule = optim.chain('sgd', learning_rate=0.1, weight_decay=0.5, decayed=decayed)
        got, _ = rule.update(jax.tree.map(jnp.zeros_like, params), rule.init(params), params)
        np.testing.assert_allclose(got['hidden']['kernel'], -0.05, rtol=1e-6)
        np.testing.assert_allclose(got['hidden']['bias'], bias, rtol=1e-6)
    with pytest.raises(ValueError, match="unknown choice 'some'"):
        optim.decay_mask(params, 'some')


SMALL = {
    'linear': {},
    'mlp': {'hidden': (4,)},
    'convnet': {'filters': (4,), 'dense': (4,)},
    'resnet': {'depth': 18, 'width': 0.1},
    'vit': {'patch': 4, 'embedding': 4, 'layers': 1, 'heads': 2},
    'airbench': {'filters': (4,)},
}


@functools.lru_cache
def masked(name, norm):
    """{path: whether it decays} of a model's parameters."""
    model = models.build(name, 3, norm=norm, **SMALL[name])
    variables = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))
    mask = optim.decay_mask(variables['params'])
    assert jax.tree.structure(mask) == jax.tree.structure(variables['params'])
    return {'/'.join(part.key for part in path): value for path, value in jax.tree_util.tree_leaves_with_path(mask)}


@pytest.mark.parametrize('norm', ['none', 'batch', 'layer'])
@pytest.mark.parametrize('name', models.BUILDERS)
def test_kernels_decay_and_nothing_else(name, norm):
    mask = masked(name, norm)
    assert {path.split('/')[-1] for path, decays in mask.items() if decays} == {'kernel'}
    spared = {path.split('/')[-1] for path, decays in mask.items() if not decays}
    expected = {'bias'}
    if norm != 'none' and 'norm' in models.hyperparameters(name) and name != 'linear':
        expected |= {'scale'}
    if name == 'airbench':
        expected |= {'whitening_bias'}
    if name == 'vit':
        expected |= {'class_token', 'positions'}
    assert spared == expected


def test_attention_and_head_decay():
    mask = masked('vit', 'layer')
    for part in ('query', 'key', 'value', 'out'):
        assert mask[f'block1/attention/{part}/kernel'] is True
        assert mask[f'block1/attention/{part}/bias'] is False
    assert mask['patches/kernel'] is True
    assert mask['ClassifierHead_0/logits/kernel'] is True


def test_only_kernels_shrink_without_a_gradient():
    model = models.build('convnet', 3, norm='batch', **SMALL['convnet'])
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32))['params']
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    rule = optim.chain('momentum', learning_rate=0.5, weight_decay=0.1)
    updates, _ = rule.update(jax.tree.map(np.zeros_like, params), rule.init(params), params)
    for path, update in jax.tree_util.tree_leaves_with_path(updates):
        np.testing.assert_allclose(update, -0.05 if path[-1].key == 'kernel' else 0.0, rtol=1e-6)


# Schedules.


def rates(name, steps, **kwargs):
    schedule = optim.schedule(name, steps, **kwargs)
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_constant():
    np.testing.assert_array_equal(rates('constant', 5), np.ones(6))


def test_cosine_goes_to_zero():
    steps = np.arange(9)
    np.testing.assert_allclose(rates('cosine', 8), (1 + np.cos(np.pi * steps / 8)) / 2, atol=1e-6)


def test_linear_goes_to_zero():
    np.testing.assert_allclose(rates('linear', 8), 1 - np.arange(9) / 8, atol=1e-6)


def test_step_goes_down_at_its_milestones():
    expected = [1] * 10 + [0.1] * 5 + [0.01] * 6
    np.testing.assert_allclose(rates('step', 20), expected, rtol=1e-6)
    expected = [1] * 5 + [0.5] * 16
    np.testing.assert_allclose(rates('step', 20, milestones=(0.25,), factor=0.5), expected, rtol=1e-6)


@given(st.integers(1, 40), st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3), st.sampled_from([0.0, 0.25]))
@FIXED
def test_every_milestone_counts(steps, milestones, warmup):
    """Also where two round to the same step, or lie in the warm-up."""
    got = rates('step', steps, milestones=milestones, factor=0.5, warmup=warmup)
    for step in range(round(warmup * steps), steps + 1):
        passed = sum(round(share * steps) <= step for share in milestones)
        np.testing.assert_allclose(got[step], 0.5**passed, rtol=1e-6)


@pytest.mark.parametrize('name', optim.SCHEDULES)
def test_warm_up_rises_to_the_peak_and_then_hands_over(name):
    got = rates(name, 40, warmup=0.25)
    np.testing.assert_allclose(got[:10], np.arange(1, 11) / 10, rtol=1e-6)
    # The rest is the same schedule over what is left; milestones stay where they are in the run.
    after = rates(name, 40)[10:] if name == 'step' else rates(name, 30)
    np.testing.assert_allclose(got[10:], after, atol=1e-6)


@given(st.sampled_from(optim.SCHEDULES), st.integers(1, 30), st.floats(0, 0.99))
@FIXED
def test_share_of_the_peak_lies_between_zero_and_one(name, steps, warmup):
    got = rates(name, steps, warmup=warmup)
    assert np.all((got >= 0) & (got <= 1 + 1e-6))
    assert np.all(got[:steps] > 0)  # No step is wasted.
    if name != 'step':  # Its milestones may lie in the warm-up, or in the only step.
        assert got[:steps].max() > 0.999


def test_step_is_traced():
    schedule = jax.jit(optim.schedule('cosine', 10, warmup=0.2))
    np.testing.assert_allclose([schedule(jnp.int32(step)) for step in range(11)], rates('cosine', 10, warmup=0.2))


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="unknown schedule 'exponential'.*cosine"):
        optim.schedule('exponential', 10)


# The moving average.


def test_average_is_the_formula():
    previous, current = {'a': jnp.array([1.0, 2.0])}, {'a': jnp.array([3.0, -2.0])}
    for step, rate in ((0, 0.1), (8, 0.5), (10_000, 0.9)):
        got = optim.average(previous, current, 0.9, step)
        np.testing.assert_allclose(got['a'], rate * previous['a'] + (1 - rate) * current['a'], rtol=1e-6)


def test_average_of_a_run_by_hand():
    mine, theirs = 0.0, {'a': jnp.zeros(())}
    update = jax.jit(optim.average)
    for step in range(30):
        value = np.sin(step)
        rate = min(0.6, (1 + step) / (10 + step))
        mine = rate * mine + (1 - rate) * value
        theirs = update(theirs, {'a': jnp.float32(value)}, 0.6, step)
    np.testing.assert_allclose(theirs['a'], mine, rtol=1e-5)


def test_average_of_what_stands_still_stands_still():
    tree = {'a': jnp.array([1.5, -2.0]), 'b': {'c': nn.initializers.ones(jax.random.key(0), (2, 2))}}
    assert_close(optim.average(tree, tree, 0.99, 50), tree, rtol=1e-6)
