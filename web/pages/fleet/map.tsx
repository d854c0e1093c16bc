import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { DeviceInfo } from '../../../src/lib/api/index.js';
import { goTo, here, linkTo, route } from '../../app/route.js';

/** The properties that can determine the colors of the cells. */
const views = {
  presence: ({ online, lastSeen }: DeviceInfo) =>
    online ? 'online' : lastSeen === null ? 'never seen' : 'offline',
  state: ({ state }: DeviceInfo) => state,
  model: ({ model }: DeviceInfo) => (model ? `${model.name}@${model.version}` : 'no model'),
  firmware: ({ firmware }: DeviceInfo) => firmware ?? 'not reported',
  update: ({ updateState }: DeviceInfo) => updateState ?? 'not reported',
} as const;
type View = keyof typeof views;

/** Fixed colors for some values. The others get the colors of the series, in order of frequency. */
const known: Record<string, string> = {
  ...{ online: '--good', offline: '--warn', 'never seen': '--soft' },
  ...{ active: '--good', suspended: '--warn', revoked: '--bad', registered: '--soft', provisioned: '--blue' },
  ...{
    COMMITTED: '--good',
    ROLLED_BACK: '--bad',
    IDLE: '--soft',
    'no model': '--soft',
    'not reported': '--soft',
  },
};
const seriesColours = 8;

/** An overview of thousands of devices, with a cell for each, in the color of its value, sorted by name. */
export function FleetMap({ devices }: { devices: readonly DeviceInfo[] }) {
  const view = viewOf(route.value.query.get('by'));
  const pointed = useSignal<DeviceInfo | null>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const cell = devices.length > 4000 ? 8 : devices.length > 800 ? 12 : 20;
  const of = views[view];
  const groups = groupsOf(devices, of);

  useEffect(() => {
    const own = canvas.current;
    if (!own) return;
    const draw = () => {
      const columns = columnsOf(own, cell);
      const rows = Math.ceil(devices.length / columns);
      const dots = devicePixelRatio;
      own.style.height = `${rows * cell}px`;
      own.width = Math.round(own.clientWidth * dots);
      own.height = Math.round(rows * cell * dots);
      const pen = own.getContext('2d');
      if (!pen) return;
      pen.scale(dots, dots);
      const style = getComputedStyle(own);
      const colours = new Map(groups.map(({ value, colour }) => [value, style.getPropertyValue(colour)]));
      for (const [i, device] of devices.entries()) {
        pen.fillStyle = colours.get(of(device)) ?? '';
        pen.fillRect((i % columns) * cell, Math.floor(i / columns) * cell, cell - 2, cell - 2);
      }
    };
    draw();
    const resized = new ResizeObserver(draw);
    resized.observe(own.parentElement as HTMLElement);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      dark.removeEventListener('change', draw);
    };
  }, [devices, view, cell]);

  const at = ({ offsetX, offsetY }: MouseEvent): DeviceInfo | null => {
    const own = canvas.current;
    if (!own) return null;
    const column = Math.floor(offsetX / cell);
    const columns = columnsOf(own, cell);
    return column >= columns ? null : (devices[Math.floor(offsetY / cell) * columns + column] ?? null);
  };
  const summary = groups.map(({ value, count }) => `${count} ${value}`).join(', ');
  return (
    <div class="map">
      <p class="map-head">
        <label for="map-view">Color by</label>{' '}
        <select
          id="map-view"
          value={view}
          onChange={({ currentTarget }) => {
            goTo(here({ by: currentTarget.value === 'presence' ? '' : currentTarget.value }), {
              replace: true,
            });
          }}
        >
          {Object.keys(views).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </p>
      <ul class="map-keys">
        {groups.map(({ value, colour, count }) => (
          <li key={value}>
            <i aria-hidden="true" style={{ background: `var(${colour})` }} />
            {value} <span class="soft">{count.toLocaleString('en')}</span>
          </li>
        ))}
      </ul>
      <canvas
        ref={canvas}
        role="img"
        aria-label={`${devices.length} devices by ${view}: ${summary}. The table lists each device.`}
        onMouseMove={(event) => {
          pointed.value = at(event);
        }}
        onMouseLeave={() => {
          pointed.value = null;
        }}
        onClick={(event) => {
          const device = at(event);
          if (device) goTo(linkTo(['devices', device.name]));
        }}
      />
      <p class="map-pointed soft">{pointed.value ? `${pointed.value.name}: ${of(pointed.value)}` : ' '}</p>
    </div>
  );
}

function viewOf(name: string | null): View {
  return name !== null && name in views ? (name as View) : 'presence';
}

function columnsOf(canvas: HTMLCanvasElement, cell: number): number {
  return Math.max(1, Math.floor(canvas.clientWidth / cell));
}

function groupsOf(devices: readonly DeviceInfo[], of: (device: DeviceInfo) => string) {
  const counts = new Map<string, number>();
  for (const device of devices) counts.set(of(device), (counts.get(of(device)) ?? 0) + 1);
  let free = 0;
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .map(([value, count]) => ({
      value,
      count,
      colour: known[value] ?? `--series-${free++ % seriesColours}`,
    }));
}
