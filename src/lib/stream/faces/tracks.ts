import { type Face, overlap } from '../../vision/index.js';

/** IoU from which a box is taken for the face of the picture before. */
const same = 0.3;
/** How long a face may be out of sight and still be the same, ms. */
const patience = 2_000;

/** Keeps a face that stays from being sent in every picture. */
export interface Tracks {
  /** Those of a picture's faces that are due: new, or last given `everyMs` ago. */
  due(faces: readonly Face[], time: number): Face[];
}

export function createTracks(everyMs: number): Tracks {
  let tracks: { face: Face; seen: number; given: number }[] = [];
  return {
    due(faces, time) {
      if (everyMs <= 0) return [...faces];
      const free = tracks.filter(({ seen }) => time - seen <= patience);
      const kept: typeof tracks = [];
      const due: Face[] = [];
      for (const face of faces) {
        const [track] = free
          .filter((known) => overlap(known.face, face) >= same)
          .sort((a, b) => overlap(b.face, face) - overlap(a.face, face));
        if (track) free.splice(free.indexOf(track), 1);
        const isDue = !track || time - track.given >= everyMs;
        if (isDue) due.push(face);
        kept.push({ face, seen: time, given: isDue ? time : track.given });
      }
      tracks = [...kept, ...free];
      return due;
    },
  };
}
