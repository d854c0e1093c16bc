import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type ApiError, at, get } from '../../app/api.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { plural, shellWord } from '../../app/text.js';
import { Empty, Failure, Loading, Page } from '../../parts/page.js';
import { Plot } from '../../parts/plot.js';
import { firstLines, joinedLines, type Line, linesOf, nameOf } from './lines.js';

/** Number of devices that can be compared. */
export const [fewestCompared, mostCompared] = [2, 6];
/** Maximum number of messages read of each device. */
const mostMessages = 5000;
const spans = { '1': '1 minute', '10': '10 minutes', '60': '1 hour' } as const;

interface Read {
  name: string;
  lines: readonly Line[];
  /** Whether the device sent more messages than were read. */
  isCut: boolean;
  error?: ApiError;
}

/** One plot with a telemetry field of each device in the address. */
export function Compare() {
  const { query } = route.value;
  const names = [...new Set((query.get('compare') ?? '').split(',').filter(Boolean))].slice(0, mostCompared);
  const span = query.get('minutes') ?? '';
  const minutes = Object.hasOwn(spans, span) ? span : '10';
  const { devices, reload } = useTelemetry(names, Number(minutes));
  const first = firstLines((devices ?? []).map(({ lines }) => lines));
  const shown = (devices ?? []).flatMap(({ name, lines }, i) => {
    const wanted = query.get(`field.${name}`);
    const line = lines.find((one) => nameOf(one) === wanted) ?? first[i];
    return line ? [{ device: name, line }] : [];
  });
  const choose = (key: string, value: string) => goTo(here({ [key]: value }), { replace: true });
  const selector = shellWord(names.join(','));
  const stream = shown[0]?.line.stream;
  return (
    <Page
      title="Compare devices"
      above={{ title: 'Devices', to: linkTo(['devices']) }}
      command={
        stream
          ? `aiot data export ${shellWord(stream)} --selector ${selector} --out compare.csv`
          : `aiot device list --selector ${selector}`
      }
    >
      <div class="plot-tools">
        <label>
          Last{' '}
          <select value={minutes} onChange={({ currentTarget }) => choose('minutes', currentTarget.value)}>
            {Object.entries(spans).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        {shown.map(({ device, line }) => (
          <label key={device}>
            {device}{' '}
            <select
              aria-label={`Field of ${device}`}
              value={nameOf(line)}
              onChange={({ currentTarget }) => choose(`field.${device}`, currentTarget.value)}
            >
              {devices
                ?.find(({ name }) => name === device)
                ?.lines.map((one) => (
                  <option key={nameOf(one)} value={nameOf(one)}>
                    {nameOf(one)}
                  </option>
                ))}
            </select>
          </label>
        ))}
        <button type="button" onClick={reload}>
          Refresh
        </button>
      </div>
      {devices?.map(({ name, error }) => error && <Failure key={name} error={error} />)}
      {!devices && <Loading />}
      {devices && shown.length === 0 && (
        <Empty
          title={`No telemetry in the last ${spans[minutes as keyof typeof spans]}`}
          command="aiot data list"
        >
          <p>Choose a longer time, or look for older telemetry in the datasets:</p>
        </Empty>
      )}
      {shown.length > 0 && (
        <Plot
          clock
          zoomable
          height={320}
          label={`Telemetry of ${shown.map(({ device }) => device).join(', ')}`}
          series={shown.map(({ device, line }) => ({ label: `${device} ${nameOf(line)}`, axis: line.field }))}
          data={joinedLines(shown.map(({ line }) => line))}
        />
      )}
      {devices?.map(({ name, lines, isCut, error }) => {
        const isEmpty = lines.length === 0 && !error && shown.length > 0;
        return (
          (isCut || isEmpty) && (
            <p key={name} class="soft">
              {isCut
                ? `${name}: only its newest ${plural(mostMessages, 'message')} are shown.`
                : `${name} sent no telemetry in this time.`}
            </p>
          )
        );
      })}
    </Page>
  );
}

/** The telemetry of some devices in the last minutes. While other telemetry is read, there is none. */
function useTelemetry(names: readonly string[], minutes: number) {
  const devices = useSignal<readonly Read[] | undefined>(undefined);
  const reads = useSignal(0);
  useEffect(() => {
    const ended = new AbortController();
    const { signal } = ended;
    const since = Date.now() - minutes * 60_000;
    const read = async (name: string): Promise<Read> => {
      const query = { channel: 'telemetry', since, limit: mostMessages };
      try {
        const { messages } = await get(at('GET /devices/:name/messages', { name }, query), signal);
        return { name, lines: linesOf(messages, minutes * 60), isCut: messages.length === mostMessages };
      } catch (error) {
        return { name, lines: [], isCut: false, error: error as ApiError };
      }
    };
    devices.value = undefined;
    void Promise.all(names.map(read)).then((all) => {
      if (!signal.aborted) devices.value = all;
    });
    return () => ended.abort();
  }, [names.join(), minutes, reads.value]);
  return {
    devices: devices.value,
    reload: () => {
      reads.value++;
    },
  };
}
