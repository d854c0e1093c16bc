import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { RecordingShown } from '../../../src/lib/api/index.js';
import { ApiError, at, getPieces } from '../../app/api.js';
import { Failure } from '../../parts/page.js';
import type { Extent } from '../../parts/plot.js';
import { bufferOf, fills, silenceOf, soundIn } from './sound.js';
import { duration } from './times.js';

const speeds = [0.25, 0.5, 1, 2, 4, 8];
/** Part of the recording that an arrow key moves by. */
const step = 1 / 50;
/** Most bytes of CSV that the page reads for the sound. */
const mostBytes = 64 * 1024 ** 2;

/**
 * Plays a recording: moves the play head, and makes recordings of sound audible. Space plays and pauses, also on the plot; the arrow keys
 * move the head.
 * @param field the field that is played as sound; absent = none has values
 * @param head time of the play head, s, as in the plot; null = at the start, not shown
 */
export function Player({
  place,
  shown,
  field,
  whole: [first, last],
  head,
}: {
  place: { stream: string; device: string; recording: string };
  shown: RecordingShown;
  field: string | undefined;
  whole: Extent;
  head: Signal<number | null>;
}) {
  const isPlaying = useSignal(false);
  const speed = useSignal(1);
  const error = useSignal<ApiError | undefined>(undefined);
  const sound = useRef<AudioBuffer | null>(null);
  const context = useRef<AudioContext | null>(null);
  const tools = useRef<HTMLDivElement>(null);
  const loading = useSignal<AbortController | null>(null);
  /** Whether the sound cannot be played, and another attempt would fail too. */
  const isMute = useSignal(false);
  const length = last - first;
  const silence = field === undefined ? undefined : silenceOf(shown, length);
  const seek = (to: number) => {
    head.value = Math.min(Math.max(to, first), last);
  };
  /** The time of a seek or a change that playing has to follow. */
  const jumps = useSignal(0);
  const jump = (to: number) => {
    seek(to);
    jumps.value++;
  };
  const toggle = async () => {
    if (isPlaying.value) {
      isPlaying.value = false;
      return;
    }
    if (loading.value) {
      loading.value.abort();
      loading.value = null;
      return;
    }
    if (field !== undefined && silence === null && !sound.current && !isMute.value) {
      const controller = new AbortController();
      loading.value = controller;
      error.value = undefined;
      try {
        context.current ??= new AudioContext();
        const samples = await samplesOf(place, field, shown.samples, controller.signal);
        if (controller.signal.aborted) return;
        if (fills(samples.length, shown.rateHz, length))
          sound.current = bufferOf(context.current, samples, shown.rateHz);
        else isMute.value = true;
      } catch (reason) {
        if (controller.signal.aborted) return;
        // The head moves without the sound.
        error.value = errorOf(reason);
        isMute.value = isLasting(error.value);
      }
      loading.value = null;
    }
    if (head.value === null || head.value >= last) seek(first);
    isPlaying.value = true;
  };

  useEffect(() => {
    if (!isPlaying.value) return;
    const from = head.peek() ?? first;
    const source = play(context.current, sound.current, from - first, speed.value);
    const began = performance.now();
    let frame = requestAnimationFrame(function next() {
      seek(from + ((performance.now() - began) / 1000) * speed.value);
      if ((head.peek() ?? last) >= last) isPlaying.value = false;
      else frame = requestAnimationFrame(next);
    });
    return () => {
      cancelAnimationFrame(frame);
      source?.stop();
    };
  }, [isPlaying.value, speed.value, jumps.value]);
  useEffect(
    () => () => {
      loading.peek()?.abort();
      void context.current?.close();
    },
    [],
  );

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { target, key } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof HTMLElement)) return;
      // Other controls and dialogs have their own meaning of these keys, and the plot moves its view with arrows.
      const isPage = target === document.body;
      const isOwnButton = target instanceof HTMLButtonElement && tools.current?.contains(target) === true;
      const isMoving = isPage || isOwnButton;
      const isPlot = target.classList.contains('plot-place');
      if (key === ' ' && (isPage || isPlot)) void toggle();
      else if (isMoving && key === 'ArrowLeft') jump((head.value ?? first) - step * length);
      else if (isMoving && key === 'ArrowRight') jump((head.value ?? first) + step * length);
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  });

  const position = (head.value ?? first) - first;
  const label = labelAt(shown, (head.value ?? first) * 1000);
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would need a legend on the page */}
      <div ref={tools} class="plot-tools" role="group" aria-label="Play the recording">
        <button type="button" class="primary" onClick={() => void toggle()}>
          {loading.value ? 'Cancel' : isPlaying.value ? 'Pause' : 'Play'}
        </button>
        <select
          aria-label="Speed"
          value={speed.value}
          onChange={({ currentTarget }) => {
            speed.value = Number(currentTarget.value);
          }}
        >
          {speeds.map((each) => (
            <option key={each} value={each}>
              {each}×
            </option>
          ))}
        </select>
        <input
          type="range"
          class="position"
          aria-label="Position"
          aria-valuetext={`${duration(position * 1000)} of ${duration(length * 1000)}`}
          min={0}
          max={length}
          step="any"
          value={position}
          onInput={({ currentTarget }) => jump(first + Number(currentTarget.value))}
        />
        <span class="soft">
          {duration(position * 1000)} of {duration(length * 1000)}
          {label !== null && `, ${label}`}
          {loading.value && ', loading the sound …'}
          {!loading.value && silence === null && !isMute.value && ', with sound'}
          {!loading.value && silence && `, ${silence}`}
          {isMute.value && !error.value && ', no sound, because samples are missing'}
        </span>
      </div>
      {error.value && <Failure error={error.value} />}
    </>
  );
}

/** The label at a time, ms: that of a part, or of the recording. */
function labelAt({ label, parts }: RecordingShown, ms: number): string | null {
  return parts.find(({ from, to }) => from <= ms && ms <= to)?.label ?? label;
}

/** Starts the sound at a position, s. Null if there is none. */
function play(
  context: AudioContext | null,
  buffer: AudioBuffer | null,
  from: number,
  speed: number,
): AudioBufferSourceNode | null {
  if (!context || !buffer) return null;
  void context.resume();
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.playbackRate.value = speed;
  source.connect(context.destination);
  source.start(0, Math.min(from, buffer.duration));
  return source;
}

/** The samples of a field, at full volume. @throws ApiError */
function samplesOf(
  place: { stream: string; device: string; recording: string },
  field: string,
  expected: number,
  signal: AbortSignal,
): Promise<Float32Array<ArrayBuffer>> {
  const csv = at('GET /datasets/:stream/recordings/:device/:recording', place);
  return soundIn(getPieces(csv, { signal, mostBytes }), field, expected);
}

/** An error of the platform, or of the browser, which has no code and no next step. */
function errorOf(reason: unknown): ApiError {
  if (reason instanceof ApiError) return reason;
  const why = reason instanceof Error ? reason.message : String(reason);
  return new ApiError(
    'AIOT_FILE_NOT_READABLE',
    `The browser cannot play the sound: ${why}`,
    'Use another browser. In this one, the head moves without sound.',
  );
}

/** Whether another attempt would fail too. */
function isLasting({ code, status }: ApiError): boolean {
  return code !== 'AIOT_PLATFORM_UNREACHABLE' && status < 500 && status !== 401 && status !== 429;
}
