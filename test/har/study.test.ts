import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { foldsOf, leaveOneOut } from '../../bench/har/folds.js';
import {
  type Material,
  materialOf,
  openRecordings,
  placesOf,
  withHeldStairs,
} from '../../bench/har/material.js';
import { choicesOf, nested } from '../../bench/har/nested.js';
import type { Recipe } from '../../bench/har/recipes.js';
import { loadProject } from '../../src/lib/core/project.js';
import { root } from '../support/cli.js';

const template = join(root, 'templates', 'har-imu');
const unit = (id: string, ...copies: string[]) => ({ ids: [id, ...copies], label: id.replace(/\d+$/, '') });
const quick: Recipe[] = [
  { name: 'one', layers: [8], stride: 125, epochs: 2, noise: 0 },
  { name: 'other', layers: [8], stride: 125, epochs: 2, noise: 1 },
];

describe('study folds', () => {
  const units = [
    unit('walking1'),
    unit('walking2', 'walking9'),
    unit('lying1'),
    unit('lying2'),
    unit('lying3'),
  ];

  it('leave out each recording once, keep copies together, and spread labels over the folds', () => {
    const folds = foldsOf(units, 2, 1);
    expect(folds.flat().sort()).toEqual(units.flatMap(({ ids }) => ids).sort());
    expect(folds.filter((fold) => fold.includes('walking2'))).toEqual(
      folds.filter((fold) => fold.includes('walking9')),
    );
    for (const fold of folds) expect(fold.some((id) => id.startsWith('walking'))).toBe(true);
    expect(leaveOneOut(units)).toHaveLength(5);
  });

  it('are reproducible by seed, and use only the allowed recordings', () => {
    expect(foldsOf(units, 2, 1)).toEqual(foldsOf(units, 2, 1));
    expect(foldsOf(units, 2, 1)).not.toEqual(foldsOf(units, 2, 2));
    const within = new Set(['lying1', 'lying2', 'walking1']);
    expect(foldsOf(units, 2, 1, within).flat().sort()).toEqual([...within].sort());
  });
});

describe('nested cross-validation', () => {
  let material: Material;
  beforeAll(async () => {
    const project = await loadProject(template);
    material = materialOf(project, await openRecordings(project, join(template, 'data')));
  });

  it('chooses and trains without the held-out data: corrupting it changes nothing', async () => {
    const [left = []] = foldsOf(material.units, 5, 1);
    const spoiled = { ...material, inputs: material.inputs.slice(), truth: material.truth.slice() };
    for (const place of placesOf(material, left, 25)) {
      spoiled.inputs.fill(1e3, place * material.inputSize, (place + 1) * material.inputSize);
      spoiled.truth[place] = (material.truth[place]! + 1) % 3;
    }
    const options = { vote: 'majority:4', recipes: quick, members: 2 };
    const [honest] = await nested(material, [left], options);
    const [asked] = await nested(spoiled, [left], { ...options, control: material });
    expect(asked!.inner).toEqual(honest!.inner);
    expect(asked!.chosen).toEqual(honest!.chosen);
    // The model itself is unchanged, so it predicts the unchanged windows as before.
    expect(asked!.control).toEqual(honest!.predicted);
    expect(asked!.predicted).not.toEqual(honest!.predicted);
  });

  it('predicts each device window once, and none in between', async () => {
    const folds = await nested(material, foldsOf(material.units, 3, 1), {
      vote: 'none',
      recipes: quick.slice(0, 1),
      members: 1,
    });
    const places = folds.flatMap((fold) => fold.places).sort((a, b) => a - b);
    expect(places).toEqual(placesOf(material, material.recordings, 125));
  });

  it('reuses the choice made without a fold for each recording of that fold, and for no others', async () => {
    const [left = []] = foldsOf(material.units, 5, 1);
    const folds = await nested(material, [left], { vote: 'none', recipes: quick.slice(1), members: 1 });
    const given = choicesOf(folds);
    expect(given(left.slice(0, 1))).toBe(quick[1]);
    expect(() => given(['somewhere else'])).toThrow('no fold leaves out all of somewhere else');
    const [one] = await nested(material, [left.slice(0, 1)], {
      vote: 'none',
      recipes: quick,
      members: 1,
      given,
    });
    expect(one).toMatchObject({ chosen: quick[1], inner: [] });
  });

  it('repeats rows only in stairs recordings to simulate held samples', () => {
    const repeats = (id: string, dataset = material.dataset) => {
      const x = dataset.recordings.find((recording) => recording.id === id)!.columns[0]!;
      return x.filter((value, i) => i > 0 && value === x[i - 1]).length / x.length;
    };
    const held = withHeldStairs(material.dataset);
    expect(repeats('upstairs1')).toBeLessThan(0.05);
    expect(repeats('upstairs1', held)).toBeGreaterThan(0.4);
    expect(repeats('walking1', held)).toBe(repeats('walking1'));
  });
});
