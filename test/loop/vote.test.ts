import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createVote } from '../../src/lib/loop/vote.js';
import { createPredictor } from '../../src/lib/model/bundle/predictor.js';
import { createVote as createDeviceVote } from '../../src/lib/model/vote.js';
import { root } from '../support/cli.js';
import { firmwareBundles } from '../support/firmware-bundles.js';
import { fc } from '../support/property.js';

const classes = ['rest', 'walk', 'stairs'];
/** Labels as one-hot votes 1 s apart; `walk:0.6` gives that share to `walk`, and the rest to `rest`. */
function votes(rule: string, labels: string, holdMs = 0): (string | null)[] {
  const vote = createVote(rule, holdMs);
  return labels.split(' ').map((word, i) => {
    if (word === '|') {
      vote.reset();
      return null;
    }
    const [label = '', share = '1'] = word.split(':');
    const own = Number(share);
    const shares = classes.map((name) => (name === label ? own : 0));
    if (label === 'rest') shares[1] = 1 - own;
    else shares[0] = 1 - own;
    return vote.push({ label, classes, shares, scores: shares, t: i * 1000 });
  });
}

describe('the majority vote', () => {
  it.each([
    ['rest', ['rest']],
    ['rest walk', ['rest', 'walk']],
    ['rest walk walk', ['rest', 'walk', 'walk']],
    ['rest rest rest rest walk walk walk', ['rest', 'rest', 'rest', 'rest', 'rest', 'walk', 'walk']],
    ['rest walk stairs rest', ['rest', 'walk', 'stairs', 'rest']],
    ['rest rest walk stairs walk', ['rest', 'rest', 'rest', 'rest', 'walk']],
    ['rest rest rest | walk', ['rest', 'rest', 'rest', null, 'walk']],
  ])(
    'over the last four windows of %s picks the most frequent class, and the most recent one on a tie',
    (labels, expected) => {
      expect(votes('majority:4', labels)).toEqual(expected);
    },
  );

  it('equals the rule of devices, evaluation and C on the sequences of votes.inc', async () => {
    const text = await readFile(join(root, 'firmware/test/votes.inc'), 'utf8');
    const rows = [...text.matchAll(/\{(\d+), "(\d+)", "(\d+)"\}/g)];
    expect(rows.length).toBe(50);
    for (const [, size, labels = '', voted = ''] of rows) {
      const rule = `majority:${size}`;
      expect(votes(rule, [...labels].join(' ')).join('')).toBe(voted);
      const device = createDeviceVote(rule, { kind: 'classes' });
      const own = [...labels].map((label) => device.push({ index: Number(label), scores: [] }));
      expect(own.join('')).toBe(voted);
    }
  });

  it('picks the newest of the most frequent classes in any run of windows', () => {
    const runs = fc.array(fc.constantFrom(...classes), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 6 }), (labels, size) => {
        const last = labels.slice(-size);
        const counts = classes.map((name) => last.filter((each) => each === name).length);
        const most = Math.max(...counts);
        const winners = classes.filter((_, i) => counts[i] === most);
        expect(votes(`majority:${size}`, labels.join(' ')).at(-1)).toBe(
          last.findLast((each) => winners.includes(each)),
        );
      }),
    );
  });
});

describe('the average', () => {
  it.each(firmwareBundles().filter(({ bundle }) => bundle.info.vote.startsWith('average:')))(
    'over the windows of the bundle $name equals the smoothing of devices',
    ({ bundle, stream }) => {
      const { vote, answer, classes } = bundle.info;
      const predictor = createPredictor(bundle);
      const loop = createVote(vote, 0, answer);
      const answers = stream.flatMap((sample) => predictor.push(sample) ?? []);
      const smoothed = answers.map(({ label, scores }, i) =>
        loop.push({ label: label!, classes, shares: scores, scores, t: i * 1000 }),
      );
      expect(answers.some(({ label, voted }) => label !== voted)).toBe(true);
      expect(smoothed).toEqual(answers.map(({ voted }) => voted));
    },
  );
});

describe('hysteresis', () => {
  it.each([
    ['accepts the first class at once', 'walk walk', ['walk', 'walk']],
    ['requires a lead for the first class', 'walk:0.55 walk:0.55 walk:0.9', [null, null, 'walk']],
    ['ignores a single outlier', 'rest rest walk rest', ['rest', 'rest', 'rest', 'rest']],
    ['switches after two in a row', 'rest walk walk', ['rest', 'rest', 'walk']],
    ['requires two in a row of the same class', 'rest walk stairs walk', ['rest', 'rest', 'rest', 'rest']],
    ['requires a lead over the current class', 'rest walk:0.55 walk:0.55 walk:0.55', Array(4).fill('rest')],
    ['forgets its class on a reset', 'rest | walk', ['rest', null, 'walk']],
    [
      'switches to the label of rejected windows too',
      'rest none none walk walk',
      ['rest', 'rest', 'none', 'none', 'walk'],
    ],
  ])('%s: %s', (_, labels, expected) => {
    expect(votes('hysteresis:0.2', labels)).toEqual(expected);
  });

  it('requires a lead of 0.2 by default', () => {
    expect(votes('hysteresis', 'rest walk:0.59 walk:0.59')).toEqual(['rest', 'rest', 'rest']);
    expect(votes('hysteresis', 'rest walk:0.61 walk:0.61')).toEqual(['rest', 'rest', 'walk']);
  });
});

describe('a minimum duration', () => {
  it('keeps a class for at least that long in sample time', () => {
    expect(votes('none', 'rest walk walk walk rest', 3000)).toEqual(['rest', 'rest', 'rest', 'walk', 'walk']);
  });

  it('also holds against the more recent class of a tie', () => {
    expect(votes('majority:2', 'rest walk walk rest', 1500)).toEqual(['rest', 'rest', 'walk', 'walk']);
  });
});

it.each(['majority', 'majority:0', 'majority:100', 'hysteresis:1', 'average:0', 'hysteresis:2', 'most', ''])(
  'createVote rejects the vote "%s"',
  (rule) => {
    expect(() => createVote(rule)).toThrow(expect.objectContaining({ code: 'AIOT_USAGE' }));
  },
);
