import { useEffect, useRef } from 'preact/hooks';
import type { BoardFault } from './faults.js';

/** A failure with its cause and the next step. It takes the focus, so that keyboard users continue there. */
export function Fault({ fault }: { fault: BoardFault | null }) {
  const own = useRef<HTMLDivElement>(null);
  useEffect(() => own.current?.focus(), [fault]);
  if (!fault) return null;
  return (
    <div ref={own} class="failure" role="alert" tabIndex={-1} data-code={fault.code}>
      <p>
        <strong>{fault.message}</strong>
      </p>
      <p>{fault.next}</p>
    </div>
  );
}
