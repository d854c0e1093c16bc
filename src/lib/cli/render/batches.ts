import type { Batch, EnrollmentList } from '../../api/contract/batches.js';
import type { Decision } from '../../api/decide-enrollments.js';
import { plural } from '../../core/figures.js';
import type { ProvisionedBatch } from '../../provision/batch-image.js';
import { platformFact, wifiFact } from './provisioned.js';
import { ago, bold, day, dim, facts, green, minute, oneLine, red, shownPath, table, yellow } from './text.js';

const stateText = { open: green('open'), expired: yellow('expired'), revoked: red('revoked') };

/** The batches, one row each. */
export function batchesText(batches: readonly Batch[], now = Date.now()): string {
  const rows = batches.map(({ name, type, state, devices, size, expires, created }) => [
    ...[name, type, stateText[state]],
    ...[devices.waiting, devices.approved + devices.issued, size],
    ...[day(expires), ago(created, now)],
  ]);
  const head = ['name', 'type', 'state', 'waiting', 'approved', 'size', 'valid until', 'created'];
  return table(head, rows, 'No batches.');
}

/** One batch: its rule, and the devices that have connected with its key. */
export function batchText(batch: Batch): string {
  return facts(factsOf(batch));
}

function factsOf(batch: Batch): [string, string][] {
  const { name, type, state, devices, size, expires, created, who, tags, groups } = batch;
  const labels = Object.entries(tags).map(([tag, value]) => `${tag}=${oneLine(value)}`);
  const { waiting, approved, issued, rejected } = devices;
  return [
    ['batch', `${bold(name)}, ${stateText[state]}`],
    ['type', type],
    ['valid until', `${minute(expires)} UTC`],
    ['created', `${minute(created)} UTC by ${oneLine(who)}`],
    [
      'devices',
      `${waiting + approved + issued} of ${size}: ${waiting} waiting, ${approved} approved, ${issued} with a certificate`,
    ],
    ['rejected', String(rejected)],
    ['approved by', ruleText(batch)],
    ...(labels.length === 0 ? [] : ([['tags', labels.join(', ')]] as [string, string][])),
    ...(groups.length === 0 ? [] : ([['groups', groups.join(', ')]] as [string, string][])),
  ];
}

function ruleText({ pattern, expected }: Batch): string {
  const rules = [
    ...(pattern === null ? [] : [`serial numbers like ${pattern}`]),
    ...(expected === 0 ? [] : [plural(expected, 'expected serial number')]),
  ];
  return rules.length === 0 ? 'a user' : `${rules.join(', ')}; others by a user`;
}

/** A new batch, with its key or the file that contains it. */
export function createdBatchText(batch: Batch & { key: string; file: string | null }): string {
  const key: [string, string] =
    batch.file === null ? ['key', `${batch.key} (shown once)`] : ['batch file', shownPath(batch.file)];
  return facts([...factsOf(batch), key]);
}

/** The images of a batch. */
export function provisionedBatchText({ batch, chip, url, expires, wifi, files }: ProvisionedBatch): string {
  return facts([
    ['batch', `${bold(batch)}, for any number of ${chip} boards`],
    ['valid until', `${minute(expires)} UTC`],
    ...platformFact(url, true),
    wifiFact(wifi),
    ['files', files.map((file) => shownPath(file)).join(', ')],
  ]);
}

/** Devices that connected with the key of a batch, with the problem of each below its row. */
export function enrollmentsText({ enrollments, next }: EnrollmentList, now = Date.now()): string {
  const rows = enrollments.map(({ name, serial, mac, state, expected, address, created, seen }) => [
    ...[name, serial, mac, state === 'waiting' ? yellow(state) : state],
    ...[expected === null ? null : expected ? green('yes') : red('no'), address],
    ...[ago(created, now), ago(seen, now)],
  ]);
  const notes = enrollments.map(({ problem, conflicts, note }) => {
    const repeated = conflicts === 0 ? '' : ` (${plural(conflicts, 'request')} rejected)`;
    const alone = conflicts === 0 ? [] : [`! ${plural(conflicts, 'contradicting request')} rejected`];
    const parts = [
      ...(problem === null ? alone : [`! ${problem}${repeated}`]),
      ...(note === null ? [] : [note]),
    ];
    return parts.length === 0 ? null : parts.join('; ');
  });
  const head = ['name', 'serial', 'mac', 'state', 'expected', 'from', 'first', 'last'];
  const more = next === null ? '' : `\n${dim(`There are more: --after ${next}`)}`;
  return `${table(head, rows, 'No device waits.', notes)}${more}`;
}

/** Notes of a device that waits for its certificate. */
export function enrollNotes(note: (text: string) => void) {
  return {
    onWait: (name: string) => note(`${name} waits for approval: aiot device approve ${name}`),
    onLimit: (ms: number) =>
      note(`the platform has too many devices to answer; asking again in ${Math.ceil(ms / 1000)} s`),
  };
}

/** The outcome of approving or rejecting devices. */
export function decisionText({ action, dryRun, devices, changed, refused, matched }: Decision): string {
  const done = action === 'approve' ? 'approved' : 'rejected';
  const rows = devices.map(({ name, outcome, state, error }) => [
    name,
    outcome === 'refused' ? red('refused') : outcome === 'same' ? `already ${state}` : green(done),
    error?.message ?? null,
  ]);
  const rest = refused === 0 ? '' : `, ${refused} refused`;
  const count = `${changed} of ${plural(matched, 'device')} ${dryRun ? `would be ${done}` : done}${rest}.`;
  return matched === 1 && refused === 0
    ? `${bold(devices[0]?.name ?? '')}: ${count}`
    : `${table(['name', 'outcome', ''], rows)}\n\n${count}`;
}
