import type uPlot from 'uplot';

/** A span of x, s. */
export type Extent = readonly [from: number, to: number];

export interface Movable {
  /** The visible span of x; absent = all. */
  view?: Extent | undefined;
  /** Called when the wheel, a pinch, keys or dragging request another view; null = all. */
  onView?: (view: Extent | null) => void;
  /** Called with the span that was dragged over. If this is set, dragging does not zoom. */
  onSelect?: (span: Extent) => void;
}

/** Length below which a drag is considered a click, px. */
const leastDrag = 4;

/** Adds listeners for dragging, pinching and the wheel, for mouse, pen and touch. Returns a function that removes them. */
export function gesturesOn(plot: uPlot, props: () => Movable): () => void {
  const { over } = plot;
  const down = new Map<number, number>();
  let begun: number | null = null;
  const xOf = (event: PointerEvent) =>
    Math.max(0, Math.min(over.clientWidth, event.clientX - over.getBoundingClientRect().left));
  const clear = () => plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);

  const press = (event: PointerEvent) => {
    const { onView, onSelect } = props();
    if (event.button !== 0 || (!onView && !onSelect)) return;
    over.setPointerCapture(event.pointerId);
    down.set(event.pointerId, xOf(event));
    begun = down.size === 1 ? xOf(event) : null;
    clear();
  };
  const move = (event: PointerEvent) => {
    const before = down.get(event.pointerId);
    if (before === undefined) return;
    const x = xOf(event);
    if (down.size === 2) pinch(event.pointerId, x);
    else if (begun !== null) {
      const height = over.clientHeight;
      plot.setSelect({ left: Math.min(begun, x), top: 0, width: Math.abs(x - begun), height }, false);
    }
    down.set(event.pointerId, x);
  };
  const pinch = (id: number, x: number) => {
    const { onView } = props();
    const other = [...down].find(([key]) => key !== id)?.[1];
    const before = down.get(id);
    if (!onView || other === undefined || before === undefined || Math.abs(x - other) < 8) return;
    const factor = Math.abs(before - other) / Math.abs(x - other);
    onView(zoomed(shown(plot, props()), plot.posToVal(other, 'x'), factor));
  };
  const release = (event: PointerEvent) => {
    const start = begun;
    if (!down.delete(event.pointerId)) return;
    if (down.size > 0) return;
    begun = null;
    const end = xOf(event);
    clear();
    if (start === null || event.type === 'pointercancel' || Math.abs(end - start) < leastDrag) return;
    const span: Extent = [plot.posToVal(Math.min(start, end), 'x'), plot.posToVal(Math.max(start, end), 'x')];
    const { onView, onSelect } = props();
    if (onSelect) onSelect(span);
    else onView?.(span);
  };
  const wheel = (event: WheelEvent) => {
    const { onView } = props();
    if (!onView) return;
    event.preventDefault();
    const at = plot.posToVal(event.clientX - over.getBoundingClientRect().left, 'x');
    onView(zoomed(shown(plot, props()), at, event.deltaY > 0 ? 1.25 : 0.8));
  };
  const all = () => props().onView?.(null);

  over.addEventListener('pointerdown', press);
  over.addEventListener('pointermove', move);
  over.addEventListener('pointerup', release);
  over.addEventListener('pointercancel', release);
  over.addEventListener('wheel', wheel, { passive: false });
  over.addEventListener('dblclick', all);
  // The other listeners are removed together with the element.
  return () => down.clear();
}

/** The first and last x of the data, or one second if the data has no extent. */
export function extentOf([xs]: uPlot.AlignedData): Extent {
  const first = xs?.[0] ?? 0;
  const last = xs?.[xs.length - 1] ?? first;
  return last > first ? [first, last] : [first, first + 1];
}

function shown(plot: uPlot, { view }: Movable): Extent {
  const { min, max } = plot.scales.x ?? {};
  return view ?? (min === undefined || max === undefined ? extentOf(plot.data) : [min ?? 0, max ?? 1]);
}

function zoomed([from, to]: Extent, at: number, factor: number): Extent {
  return [at - (at - from) * factor, at + (to - at) * factor];
}

/** The view that a key requests: + and − zoom, arrows move, and 0 or Escape shows everything (null). Undefined for any other key. */
export function keyView(key: string, view: Extent): Extent | null | undefined {
  const [from, to] = view;
  const middle = (from + to) / 2;
  const step = (to - from) / 5;
  switch (key) {
    case '+':
    case '=':
      return zoomed(view, middle, 0.8);
    case '-':
      return zoomed(view, middle, 1.25);
    case 'ArrowLeft':
      return [from - step, to - step];
    case 'ArrowRight':
      return [from + step, to + step];
    case '0':
    case 'Home':
    case 'Escape':
      return null;
    default:
      return undefined;
  }
}
