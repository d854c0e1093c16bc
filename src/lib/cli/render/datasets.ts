import type {
  DatasetInfo,
  LogRetention,
  RecordingShown,
  RemovedLogs,
  RemovedRecordings,
  Retention,
  StoredRecording,
} from '../../api/contract/data.js';
import { lostText } from '../../api/damage.js';
import type { RetentionWish } from '../../api/datasets/retention.js';
import type { Exported } from '../../api/datasets/save.js';
import { plural, size } from '../../core/figures.js';
import type { LabelledInProject, RemovedFromProject } from '../../data/dataset/write.js';
import { bold, facts, minute, moment, oneLine, shownPath, table, yellow } from './text.js';

/** One line per stream of the platform. */
export function streamsTable(datasets: readonly DatasetInfo[]): string {
  const rows = datasets.map(({ name, recordings, messages, samples, bytes, labels }) => [
    name,
    recordings,
    messages,
    samples,
    size(bytes),
    Object.entries(labels)
      .map(([label, n]) => `${label} ${n}`)
      .join(', ') || null,
  ]);
  const head = ['stream', 'recordings', 'messages', 'samples', 'size', 'labels'];
  return table(head, rows, 'No telemetry yet.');
}

/** Gaps in an export, by device and time. */
export function damagedText({ rows, places, more }: Exported['damaged']): string {
  const lines = places.map((lost) => `\n  ${oneLine(lostText(lost))}`).join('');
  const rest = more > 0 ? `\n  and ${plural(more, 'more place')}` : '';
  const what =
    rows > 0
      ? `${plural(rows, 'stored row')} cannot be read`
      : 'stored rows have changed since they were written';
  return `${yellow('!')} ${what}:${lines}${rest}`;
}

/** One line per recording of the platform; problems only if there are any. */
export function storedTable(recordings: readonly StoredRecording[]): string {
  const rows = recordings.map((recording) => [
    recording.device,
    recording.id,
    recording.label,
    recording.samples,
    recording.startedAt === null ? null : minute(recording.startedAt),
    problemsOf(recording),
  ]);
  return table(['device', 'recording', 'label', 'samples', 'started (UTC)', 'problems'], rows, 'none');
}

function problemsOf({ missing, duplicates, outOfOrder, late, future }: StoredRecording): string | null {
  const told = Object.entries({ missing, duplicates, 'out of order': outOfOrder, late, future });
  const some = told.filter(([, n]) => n > 0).map(([what, n]) => `${n} ${what}`);
  return some.length === 0 ? null : some.join(', ');
}

export function storedRecordingText(shown: RecordingShown): string {
  const time = (t: number | null) => (t === null ? 'unknown' : moment(t));
  const text = facts([
    ['Stream', shown.stream],
    ['Device', shown.device],
    ['Recording', shown.id],
    ['Label', shown.label ?? 'none'],
    ['Fields', shown.fields.join(', ')],
    ['Samples', `${shown.samples} in ${plural(shown.messages, 'message')}, ${size(shown.bytes)}`],
    ['Rate', shown.rateHz > 0 ? `${shown.rateHz} Hz` : 'none'],
    ['Began', time(shown.startedAt)],
    ['Ended', time(shown.endedAt)],
    ['Last message', time(shown.lastAt)],
    ['Missing', shown.missing],
    ['Duplicates', `${shown.duplicates} (dropped)`],
    ['Out of order', shown.outOfOrder],
    ['Late', `${shown.late} (more than a minute)`],
    ['Clock ahead', shown.future],
  ]);
  const parts = shown.parts.map(({ label, from, to }) => [label, moment(from), moment(to)]);
  return parts.length === 0 ? text : `${text}\n\n${table(['label', 'from', 'to'], parts)}`;
}

export function removedText(removed: RemovedRecordings): string {
  const { recordings, kept, bytes, freed, dryRun } = removed;
  const rows = recordings.map((each) => [
    each.stream,
    each.device,
    each.recording,
    each.samples,
    size(each.bytes),
  ]);
  const lines = [table(['stream', 'device', 'recording', 'samples', 'size'], rows, 'Nothing to remove')];
  if (kept > 0) lines.push(`Kept ${plural(kept, 'labeled recording')}`);
  if (rows.length > 0 && dryRun) lines.push(`Would remove ${size(bytes)} (--dry-run).`);
  else if (rows.length > 0) {
    lines.push(
      freed === null
        ? `Removed ${size(bytes)}`
        : `Removed ${size(bytes)} and freed ${size(Math.max(0, freed))} of disk space`,
    );
  }
  return lines.join('\n');
}

/** Confirmation question before recordings are removed. */
export function removalQuestion({ recordings, bytes }: RemovedRecordings): string {
  const names = recordings
    .slice(0, 5)
    .map(({ stream, device, recording }) => `${stream}/${device}/${recording}`);
  const more = recordings.length > names.length ? `, and ${recordings.length - names.length} more` : '';
  return `Permanently remove ${plural(recordings.length, 'recording')} (${names.join(', ')}${more}), ${size(bytes)}?`;
}

/** Confirmation question before recordings of a project are removed. */
export function projectRemovalQuestion({ recordings }: RemovedFromProject): string {
  const files = recordings.slice(0, 5).map(({ file }) => shownPath(file));
  const more = recordings.length > files.length ? `, and ${recordings.length - files.length} more` : '';
  return `Permanently delete ${files.join(', ')}${more}?`;
}

export function removedFromProjectText({ recordings, dryRun }: RemovedFromProject): string {
  const lines = recordings.map(
    ({ recording, file }) =>
      `${dryRun ? 'Would remove' : 'Removed'} ${bold(recording)} (${shownPath(file)})${dryRun ? ' (--dry-run)' : ''}.`,
  );
  return lines.join('\n');
}

export function labelledInProjectText({ recording, label, before }: LabelledInProject): string {
  if (label === null && before === null) return `${bold(recording)} has no label.`;
  const was = before === label ? ', as before' : before === null ? '' : ` (it was ${before})`;
  return `The label of ${bold(recording)} is ${label === null ? 'removed' : bold(label)}${was}.`;
}

interface Retained {
  policies: readonly Retention[];
  logs: LogRetention | null;
  removed: RemovedRecordings | null;
  removedLogs: RemovedLogs | null;
}

/** Policies, and what was removed. @param onlyLogs whether only log lines were asked for */
export function retentionText({ policies, logs, removed, removedLogs }: Retained, onlyLogs = false): string {
  return [
    ...(onlyLogs ? [] : [retentionTable(policies)]),
    ...(logs ? [logRetentionText(logs)] : []),
    ...(removed ? [removedText(removed)] : []),
    ...(removedLogs ? [removedLogsText(removedLogs)] : []),
  ].join('\n\n');
}

function retentionTable(policies: readonly Retention[]): string {
  const rows = policies.map(({ stream, days, bytes, labelled }) => [
    stream,
    days === null ? null : `${days} d`,
    bytes === null ? null : size(bytes),
    labelled ? 'also removed' : 'kept',
  ]);
  return table(['stream', 'days', 'size', 'labeled'], rows, 'All telemetry is kept.');
}

function logRetentionText({ days, bytes }: LogRetention): string {
  if (days === null && bytes === null) return 'All log lines are kept.';
  return `Log lines are kept ${limitsText({ days, bytes })}.`;
}

function limitsText({ days, bytes }: { days: number | null; bytes: number | null }): string {
  return [
    ...(days === null ? [] : [`for ${plural(days, 'day')}`]),
    ...(bytes === null ? [] : [`up to ${size(bytes)}`]),
  ].join(', and ');
}

function removedLogsText({ lines, bytes, before, freed, dryRun }: RemovedLogs): string {
  if (lines === 0) return 'No log lines to remove';
  const what = `${logLinesText(lines, bytes)} from before ${minute(before)} UTC`;
  if (dryRun) return `Would remove ${what} (--dry-run).`;
  return freed === null
    ? `Removed ${what}`
    : `Removed ${what}, and freed ${size(Math.max(0, freed))} of disk space`;
}

const logLinesText = (lines: number, bytes: number) => `${plural(lines, 'log line')} (${size(bytes)})`;

/** Confirmation question before new limits are set and applied at once. */
export function limitsQuestion({ stream, days, bytes, labelled }: RetentionWish): string {
  const what = stream === undefined ? 'log lines of all devices' : `recordings of ${oneLine(stream)}`;
  const also = labelled ? ', including labeled recordings' : '';
  return `Keep ${what} only ${limitsText({ days: days ?? null, bytes: bytes ?? null })}, and permanently remove everything beyond that now${also}?`;
}

/** Confirmation question before expired data is removed; undefined = nothing is due. */
export function retentionQuestion({ removed, removedLogs }: Retained): string | undefined {
  const recordings = removed && removed.recordings.length > 0 ? removalQuestion(removed) : undefined;
  if (!removedLogs || removedLogs.lines === 0) return recordings;
  const lines = logLinesText(removedLogs.lines, removedLogs.bytes);
  return recordings === undefined
    ? `Permanently remove ${lines}?`
    : `${recordings.slice(0, -1)}, and ${lines}?`;
}
