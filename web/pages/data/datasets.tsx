import type { DatasetInfo, StoredRecording } from '../../../src/lib/api/index.js';
import { at } from '../../app/api.js';
import type { PageOf } from '../../app/pages.js';
import { useFirstDevice, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { plural, shellWord, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { type Column, Table } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Recording } from './recording.js';
import { Suggestions } from './suggestions.js';
import { duration } from './times.js';

/** The pages of data sent by devices: all streams, the recordings of one stream, and one recording. */
export function Datasets({ parts }: PageOf) {
  const [stream, device, recording] = parts;
  if (stream === undefined) return <Streams />;
  if (device === undefined || recording === undefined) return <Stream stream={stream} />;
  return <Recording stream={stream} device={device} recording={recording} />;
}

const streamColumns: Column<DatasetInfo>[] = [
  { title: 'stream', cell: ({ name }) => name, sort: ({ name }) => name, width: '1.6fr' },
  {
    title: 'recordings',
    cell: ({ recordings }) => recordings.toLocaleString('en'),
    sort: ({ recordings }) => recordings,
    number: true,
  },
  {
    title: 'samples',
    cell: ({ samples }) => samples.toLocaleString('en'),
    sort: ({ samples }) => samples,
    number: true,
  },
  {
    title: 'size',
    cell: ({ bytes }) => size(bytes),
    sort: ({ bytes }) => bytes,
    number: true,
    wide: true,
  },
  {
    title: 'labels',
    cell: ({ labels }) => labelsText(labels) || <span class="soft">none</span>,
    sort: ({ labels }) => labelsText(labels) || null,
    width: '3fr',
    wide: true,
  },
];

function labelsText(labels: DatasetInfo['labels']): string {
  return Object.entries(labels)
    .map(([label, count]) => `${label} ${count}`)
    .join(', ');
}

function Streams() {
  const { value, error } = useResource(at('GET /datasets', {}), {
    all: 'datasets',
    events: ['data.*', 'dataset.*'],
  });
  return (
    <Page title="Datasets" command="aiot data streams">
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value?.length === 0 && <None />}
      {value && value.length > 0 && (
        <Table
          rows={value}
          columns={streamColumns}
          keyOf={({ name }) => name}
          to={({ name }) => linkTo(['datasets', name])}
          label="Datasets"
          filter
        />
      )}
    </Page>
  );
}

function None() {
  const device = useFirstDevice();
  if (device === undefined) return <Loading />;
  const name = shellWord(device.name);
  return (
    <Empty title="No recordings yet" command={`aiot device simulate ${name} --motor healthy --for 20s`}>
      <p>Each telemetry stream becomes a dataset. To send telemetry from a virtual device, run:</p>
      {!device.exists && (
        <p>
          <Command line={`aiot device provision ${name} --type virtual --out ${name}`} label="First step" />
        </p>
      )}
    </Empty>
  );
}

const recordingColumns: Column<StoredRecording>[] = [
  { title: 'recording', cell: ({ id }) => id, sort: ({ id }) => id, width: '1.7fr' },
  { title: 'device', cell: ({ device }) => device, sort: ({ device }) => device, width: '1.2fr' },
  {
    title: 'label',
    cell: ({ label, parts }) => (
      <>
        {label ?? <span class="soft">none</span>}
        {parts.length > 0 && <span class="soft"> + {plural(parts.length, 'part')}</span>}
      </>
    ),
    sort: ({ label }) => label,
    width: '1.3fr',
  },
  {
    title: 'duration',
    cell: ({ startedAt, endedAt }) => duration(lengthOf(startedAt, endedAt)),
    sort: ({ startedAt, endedAt }) => lengthOf(startedAt, endedAt),
    number: true,
    wide: true,
  },
  {
    title: 'samples',
    cell: ({ samples }) => samples.toLocaleString('en'),
    sort: ({ samples }) => samples,
    number: true,
  },
  {
    title: 'rate',
    cell: ({ rateHz }) => (rateHz > 0 ? `${Number(rateHz.toPrecision(4))} Hz` : ''),
    sort: ({ rateHz }) => rateHz,
    number: true,
    wide: true,
  },
  {
    title: 'gaps',
    cell: ({ missing }) =>
      missing === 0 ? (
        <span class="soft">none</span>
      ) : (
        <Badge tone="warn">{missing.toLocaleString('en')} missing</Badge>
      ),
    sort: ({ missing }) => missing,
    wide: true,
  },
  {
    title: 'received',
    cell: ({ lastAt }) => (lastAt === null ? '' : <When at={lastAt} as="ago" />),
    sort: ({ lastAt }) => lastAt,
    wide: true,
  },
];

function lengthOf(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : to - from;
}

function Stream({ stream }: { stream: string }) {
  const events = ['data.*', 'dataset.*'];
  const head = useResource(at('GET /datasets/:stream', { stream }, { limit: 1 }), { events });
  const { value, error } = useResource(at('GET /datasets/:stream', { stream }), {
    all: 'recordings',
    events,
  });
  const labelled = value?.filter(({ label, parts }) => label !== null || parts.length > 0).length ?? 0;
  return (
    <Page
      title={stream}
      above={{ title: 'Datasets', to: linkTo(['datasets']) }}
      command={`aiot data list ${shellWord(stream)}`}
    >
      {error && <Failure error={error} />}
      {!value && !error && <Loading />}
      {value && (
        <>
          <p class="count">
            {plural(value.length, 'recording')}, {labelled} labeled
            {head.value && <> · fields {head.value.fields.join(', ')}</>}
          </p>
          <Suggestions stream={stream} unlabelled={value.length - labelled} />
          <Table
            rows={value}
            columns={recordingColumns}
            keyOf={({ device, id }) => `${device}/${id}`}
            to={({ device, id }) => linkTo(['datasets', stream, device, id])}
            label="Recordings"
            filter
          />
        </>
      )}
    </Page>
  );
}
