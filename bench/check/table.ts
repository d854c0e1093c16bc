// Counts the defects found and the false alarms of `aiot data check`: the tables of docs/background/data-check-score.md.
//
//   npx tsx bench/check/table.ts [--seeds 1,2,3,4,5]
import { parseArgs } from 'node:util';
import { cleanTrials, recordingTrials, type Trial, tableTrials } from '../../test/support/planted/score.js';

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '1,2,3,4,5' } } });
const seeds = values.seeds.split(',').map(Number);

function table(title: string, trials: Trial[]): void {
  console.log(`| ${title} | found | missed in |`);
  console.log('| --- | --: | --- |');
  for (const defect of new Set(trials.map((trial) => trial.defect))) {
    const own = trials.filter((trial) => trial.defect === defect);
    const missed = own.filter(({ found }) => !found).map(({ family, seed }) => `${family} ${seed}`);
    console.log(`| ${defect} | ${own.length - missed.length} of ${own.length} | ${missed.join(', ')} |`);
  }
  const found = trials.filter((trial) => trial.found).length;
  const disturbed = trials.filter(({ others }) => others.length > 0).length;
  const share = ((100 * found) / trials.length).toFixed(1);
  console.log(`\n${found} of ${trials.length} found (${share} %); other alarms as well in ${disturbed}.\n`);
}

console.log(`Seeds ${seeds.join(', ')}\n`);
table('defect in recordings', recordingTrials(seeds));
table('defect in tables', tableTrials(seeds));
const clean = cleanTrials(seeds);
const alarmed = clean.filter(({ alarms }) => alarms.length > 0);
console.log(`${alarmed.length} of ${clean.length} clean sets with a false alarm.`);
for (const { family, seed, alarms } of alarmed) console.log(`- ${family} ${seed}: ${alarms.join(' ')}`);
