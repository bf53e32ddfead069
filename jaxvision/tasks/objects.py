"""What localisation and detection share: images and their objects, gathered, moved and mixed together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxvision import augment, rng
from jaxvision.data import pixels, resident
from jaxvision.models.layers import Training
from jaxvision.tasks.batches import whole_batch
from jaxvision.tasks.task import Context, Examples, Network, Variables, apply

KEEP, THINNEST = 0.3, 1.0  # An object of which a smaller share, or fewer pixels either way, is in view is dropped.
GREY = pixels.PADDING / 255  # What shows outside an image, here as around a letterboxed one.


class Targets(NamedTuple):
    """The objects of a batch, padded to `slot`.

    Attributes:
      boxes: float32 [batch, slot, 4].
      classes: int32 [batch, slot].
      valid: bool [batch, slot]; False is padding.
      ignored: bool [batch, slot]: there, but not to be learnt.
      weights: float32 [batch, slot], how visible the image is that it came with.
      density: float32 [batch], the mean number of objects an image, at least 1; one for all: in training of the whole
        batch, in evaluation of the whole set.
    """

    boxes: jax.Array
    classes: jax.Array
    valid: jax.Array
    ignored: jax.Array
    weights: jax.Array
    density: jax.Array

    @property
    def counted(self) -> jax.Array:
        return self.valid & ~self.ignored


@dataclass(frozen=True)
class ObjectTask(Network):
    """The part of a task before and around its losses.

    Attributes:
      mosaic: whether strengths['mosaic'] is the share of images made of four.
    """

    mosaic: bool = False

    def clean(self, context: Context, ids: jax.Array) -> Examples:
        batch = resident.gather_objects(context['data'], ids)
        objects = (batch.boxes, batch.classes, batch.valid, batch.ignored)
        # Of the whole set: in evaluation no example knows of another.
        everything = context['data']['valid']
        density = _density(everything, context['data']['ignored'], jnp.ones(everything.shape), None)
        return Examples(batch.images, _targets(objects, jnp.ones(batch.valid.shape), density))

    def examples(self, context: Context, ids: jax.Array, key: jax.Array, step: jax.Array, axis_name) -> Examples:
        strengths = context['strengths']
        batch = resident.gather_objects(context['data'], ids)
        images, objects = batch.images, (batch.boxes, batch.classes, batch.valid, batch.ignored)
        if self.mosaic:
            images, objects = self._mosaics(images, objects, strengths, ids, key, step, axis_name)
        if self.views.moves:
            maps = self.views.maps(ids, self.shape, strengths, key, step, axis_name)
            images, objects = jax.vmap(self._moved)(maps, images, objects)
        images = self.views.recolor(rng.key(key, 'color', step, ids), images, strengths)
        weights = jnp.ones(objects[2].shape)
        if self.mixup:
            first, everyone = whole_batch((images, objects), len(ids), axis_name)
            partners = jax.random.permutation(rng.key(key, 'mixup', step), len(everyone[0]))
            partners = jax.lax.dynamic_slice_in_dim(partners, first, len(ids))
            other_images, others = jax.tree.map(lambda x: x[partners], everyone)
            shares = augment.mixing_weights(rng.key(key, 'mixup', step, ids), strengths['mixup'])
            # One that is its own partner is not mixed: its objects, twice there, would share their anchors by halves.
            itself = partners == first + jnp.arange(len(ids))
            shares = jnp.where(itself, 1.0, shares)
            boxes, classes, valid, ignored = others
            others = (boxes, classes, valid & ~itself[:, None], ignored & ~itself[:, None])
            images = augment.mix(images, other_images, shares)
            objects, weights = augment.mix_objects(objects, others, shares)
        return Examples(images, _targets(objects, weights, _density(objects[2], objects[3], weights, axis_name)))

    def _moved(self, matrix, image, objects):
        height, width, _ = self.shape
        boxes, classes, valid, ignored = objects
        somewhere = valid & ~jnp.any(boxes, axis=-1)  # An object whose box was of no use: it may be in view or not.
        keep, minimum = _least(ignored)
        boxes, valid = augment.move(boxes, valid, matrix, height, width, keep=keep, minimum=minimum)
        valid |= somewhere
        return augment.warp(image, matrix, GREY), (boxes, classes * valid, valid, ignored & valid)

    def _mosaics(self, images, objects, strengths, ids, key, step, axis_name):
        """Makes strengths['mosaic'] of the images of four; the others get as many empty slots."""
        first, everyone = whole_batch((images, objects), len(ids), axis_name)
        partners = augment.draw_quartets(rng.key(key, 'mosaic', step), len(everyone[0]))
        partners = jax.lax.dynamic_slice_in_dim(partners, first, len(ids))

        def one(own_key, image, own, three):
            chosen_key, mosaic_key = jax.random.split(own_key)
            four_images, four = jax.tree.map(
                lambda mine, all_: jnp.concatenate([mine[None], all_[three]]), (image, own), everyone
            )
            boxes, classes, valid, ignored = four
            keep, minimum = _least(ignored)
            made, boxes, classes, valid = augment.mosaic(
                mosaic_key, four_images, boxes, classes, valid, keep=keep, minimum=minimum
            )
            ignored = ignored.reshape(-1) & valid
            empty = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros((3 * len(x), *x.shape[1:]), x.dtype)]), own)
            chosen = jax.random.bernoulli(chosen_key, strengths['mosaic'])
            pick = lambda a, b: jnp.where(chosen, a, b)  # noqa: E731
            return pick(made, image), jax.tree.map(pick, (boxes, classes, valid, ignored), empty)

        return jax.vmap(one)(rng.key(key, 'mosaic', step, ids), images, objects, partners)

    def forward(self, variables: Variables, images: jax.Array, training: Training | None) -> tuple[Any, Any]:
        return apply(self.model, variables, images, training)


def _least(ignored: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How much of a box must be in view, see `augment.move`: of what is ignored anything, as that is no background."""
    return jnp.where(ignored, 0.0, KEEP), jnp.where(ignored, 0.0, THINNEST)


def _density(valid: jax.Array, ignored: jax.Array, weights: jax.Array, axis_name) -> jax.Array:
    """The mean number of objects an image, each by its weight, over all devices; at least 1."""
    density = jnp.mean(jnp.sum(weights * (valid & ~ignored), axis=1))
    return jnp.maximum(density if axis_name is None else jax.lax.pmean(density, axis_name), 1.0)


def _targets(objects, weights: jax.Array, density: jax.Array) -> Targets:
    boxes, classes, valid, ignored = objects
    return Targets(boxes, classes, valid, ignored, weights, jnp.broadcast_to(density, valid.shape[:1]))


def mean_probability(logits: Sequence[jax.Array]) -> jax.Array:
    """The logit of the mean of several sigmoids: an ensemble's."""
    if len(logits) == 1:
        return logits[0]
    stacked = jnp.stack(logits)
    members = jnp.log(len(logits))
    yes = jax.nn.logsumexp(jax.nn.log_sigmoid(stacked), axis=0) - members
    no = jax.nn.logsumexp(jax.nn.log_sigmoid(-stacked), axis=0) - members
    return yes - no
