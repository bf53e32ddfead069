"""The record of a sweep: on what it ran, under which teachers, how its numbers were made, and every setting."""

import html
import json

from jaxvision.sweeps import statistics
from jaxvision.sweeps.reports import words
from jaxvision.sweeps.reports.reading import Records
from jaxvision.training.reports import record

SEEDS = (
    'Means have Student’s 95% intervals over seeds.',
    'Differences are of runs that share their seed. Their intervals are BCa bootstrap intervals of '
    f'{statistics.RESAMPLES:,} resamples, of a level raised until a normal interval would be as long as Student’s, '
    f'since a plain bootstrap of few seeds is too short; below {statistics.FEWEST} seeds they are Student’s.',
    'p-values are of a sign-flip test of the mean difference: every pattern of signs up to '
    f'{statistics.EXACT} seeds, {statistics.RESAMPLES:,} drawn ones above. Holm’s correction is over all variants, and '
    'in a ladder once more over what the rungs are worth in company; a difference is called '
    f'significant, to help or to harm, at p ≤ {statistics.LEVEL:g} after it.',
    'P(better) is the share of all pairs of a run of the variant and a run of the baseline, under any seeds, in which '
    'the variant has the higher number; a tie counts half.',
    'The split is one and the same for all seeds: intervals speak of initial weights, of the order of examples and of '
    'augmentation, not of other training or test images.',
)
FOLDS = (
    'A fold’s value is the mean over its seeds; means are over folds.',
    'Intervals and p-values are those of Nadeau and Bengio: folds share training images, so 1/k becomes 1/k + '
    'n_test/n_train in the variance of the mean, with k − 1 degrees of freedom.',
    f'Holm’s correction is over all variants; significant is p ≤ {statistics.LEVEL:g} after it.',
    'P(better) is the share of all pairs of a fold of the variant and a fold of the baseline in which the variant has '
    'the higher number; a tie counts half.',
    'Every image of the set is in the test part of one fold, so nothing was held out from all of them.',
)
TEACHER = (
    'One teacher serves every distilled trial: the intervals exclude the teacher’s own variance, and speak of students '
    'of this teacher, not of distillation from any.'
)


def made(records: Records) -> str:
    facts = record.facts(records.environment)
    teachers = records.summary.get('teachers') or {}
    for folder, found in teachers.items():
        name = 'Teacher' if len(teachers) == 1 else f'Teacher {list(teachers).index(folder) + 1}'
        facts[name] = f'{folder}, hash {found}'
    parts = [record.listed(facts)]
    if not records.environment:
        parts.append(
            f'<p class="absent">Versions, devices and dataset left out: {html.escape(records.environment.problem)}.</p>'
        )
    if teachers:
        parts.append(f'<p>{teacher(len(teachers))}</p>')
    parts.append(record.problems((records.environment.get('dataset') or {}).get('problems') or ()))
    how = FOLDS if records.unit == 'folds' else SEEDS
    parts.append('<h3>How the numbers were made</h3>')
    parts.append(f'<ul class="errors">{"".join(f"<li>{html.escape(line)}</li>" for line in how)}</ul>')
    parts.append(_overrides(records))
    parts.append(record.settings(records.config, 'The settings that all variants start from'))
    return ''.join(parts)


def teacher(count: int) -> str:
    """What it means that the trials share a teacher."""
    if count == 1:
        return TEACHER
    return TEACHER.replace('One teacher serves every', f'{count} teachers serve, one each, every')


def _overrides(records: Records) -> str:
    items = ''
    for name, one in records.variants.items():
        changes = ', '.join(
            f'{key} = {json.dumps(value, ensure_ascii=False)}' for key, value in one['overrides'].items()
        )
        if name in records.references:
            changes = 'scikit-learn’s, with its default settings'
        items += f'<li><b>{html.escape(name)}</b> <span>{html.escape(changes or "as it is")}</span></li>'
    count = words.many(len(records.variants), 'variants')
    return f'<details><summary>What each of the {count} changes</summary><ul class="errors">{items}</ul></details>'
