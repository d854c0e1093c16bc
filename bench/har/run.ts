/**
 * Accuracy of activity recognition on the motion recordings, measured without leakage: `npx tsx bench/har/run.ts`. Takes several
 * minutes. `--only=five,one,four,window,features,template` runs some parts (`template` runs only if it is named), `--data=FOLDER`
 * uses other recordings, and `--out=FILE` saves all results as JSON.
 */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareFeatures } from './features.js';
import { leaveOneOut } from './folds.js';
import type { Material } from './material.js';
import { choicesOf, type NestedOptions, type OuterFold } from './nested.js';
import { recipes } from './recipes.js';
import { fiveFolds, measure, measureByWindow, openStudy, type Part } from './study.js';
import { classTable, foldTable, table } from './table.js';
import { type Draw, drawsHead, drawsRow, drawTemplate } from './template.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const argument = (name: string) =>
  process.argv.find((text) => text.startsWith(`--${name}=`))?.slice(name.length + 3);
const only = argument('only')?.split(',');
const wants = (what: string) => !only || only.includes(what);
const started = performance.now();
const note = (text: string) => {
  process.stderr.write(`${Math.round((performance.now() - started) / 1000)} s  ${text}\n`);
};

const template = join(root, 'templates', 'har-imu');
const recordings = argument('data') ?? join(root, '..', 'shared', 'data', 'har', 'recordings');
const study = await openStudy(template, recordings);
const { three, four, held, vote } = study;
note(`${three.dataset.recordings.length} recordings, ${three.truth.length} windows every 0.5 s`);

const parts: Part[] = [];
const tables: string[] = [];
const nestedFolds: Record<string, unknown> = {};

/** Runs one nested study and adds its rows and tables. @returns its folds */
async function run(
  name: string,
  material: Material,
  outer: string[][],
  more: Pick<NestedOptions, 'control' | 'given'> = {},
): Promise<OuterFold[]> {
  const onFold = ({ chosen, left }: OuterFold, at: number) => {
    const without = `${left.slice(0, 3).join(', ')}${left.length > 3 ? ' …' : ''}`;
    note(`${name}: ${at + 1}/${outer.length}, without ${without}: ${chosen.name}`);
  };
  const { part, control, folds } = await measure(name, material, outer, { vote, onFold, ...more });
  parts.push(part, ...(control ? [control] : []));
  tables.push(`${name}\n\n${classTable(part)}${more.given ? '' : `\n\n${foldTable(folds)}`}`);
  nestedFolds[name] = folds.map(({ left, inner, chosen }) => ({ left, inner, chosen: chosen.name }));
  return folds;
}

if (wants('five') || wants('one')) {
  const folds = await run('by recording, five folds', three, fiveFolds(three), { control: held });
  // Each recording uses the recipe that was selected without that recording's entire fold.
  const given = choicesOf(folds);
  if (wants('one')) await run('by recording, leave-one-out', three, leaveOneOut(three.units), { given });
}
if (wants('four')) await run('by recording, five folds, four classes', four, fiveFolds(four));
if (wants('window')) {
  const recipe = recipes.find(({ name }) => name === 'dense')!;
  for (const [classes, material] of [
    ['three', three],
    ['four', four],
  ] as const) {
    const same = { vote, recipes: [recipe] };
    const apart = await measure(
      `${classes} classes, one recipe, by recording`,
      material,
      fiveFolds(material),
      same,
    );
    parts.push(apart.part);
    parts.push(
      await measureByWindow(`${classes} classes, the same recipe, by window`, material, recipe, vote),
    );
    note(`${classes} classes by window`);
  }
}

const compared: Part[] = [];
if (wants('features')) {
  const onPart = ({ name }: Part) => note(name);
  compared.push(...(await compareFeatures(study.project, three.dataset, vote, onPart)));
}

const draws: string[] = [];
if (only?.includes('template')) {
  const seeds = Array.from({ length: 10 }, (_, i) => i + 1);
  for (const [name, folder] of [
    ["the template's own recordings", undefined],
    ['the studied recordings', recordings],
  ] as const) {
    const onDraw = ({ seed, int8 }: Draw) => note(`template, ${name}, seed ${seed}: ${int8.toFixed(3)}`);
    draws.push(drawsRow(name, await drawTemplate(template, { folder, seeds }, onDraw)));
  }
}

const findings = study.windowFindings.filter(({ severity }) => severity === 'error');
process.stdout.write(`${table(parts)}\n\n${tables.join('\n\n')}\n\n`);
if (compared.length > 0) process.stdout.write(`other features, one recipe\n\n${table(compared)}\n\n`);
if (draws.length > 0) process.stdout.write(`${[drawsHead, ...draws].join('\n')}\n\n`);
for (const { kind, message } of findings)
  process.stdout.write(`data check of a split by window: error ${kind}: ${message}\n`);
const out = argument('out');
if (out)
  await writeFile(out, `${JSON.stringify({ parts, compared, folds: nestedFolds, findings }, null, 2)}\n`);
