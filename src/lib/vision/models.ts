/** One of the BlazeFace networks of `@mediapipe/face_detection`. */
export interface FaceModel {
  file: string;
  /** The file's SHA-256: native code runs it as it is, so it is to be the one that this was written for. */
  sha256: string;
  /** Side of the square that it sees, pixels. */
  size: number;
  /** Its grids of anchors, in order: cells along a side, anchors a cell. */
  grids: readonly (readonly [cells: number, anchors: number])[];
  /** Scores below this are no faces; MediaPipe's own graphs say the same. */
  minScore: number;
}

/**
 * Measured on 15 pictures with 31 faces (found, false, time on one core): short 25, 0, 2.4 ms; full 30, 0, 8.4 ms; sparse
 * 31, 0, 6.3 ms. `short` is for faces nearer than 2 m; the other two for up to 5 m, `sparse` being `full` with pruned weights.
 * Sizes and anchors: MediaPipe's face_detection graphs (SsdAnchorsCalculatorOptions), release 0.10.
 */
export const faceModels = {
  sparse: {
    file: 'face_detection_full_range_sparse.tflite',
    sha256: '671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce',
    size: 192,
    grids: [[48, 1]],
    minScore: 0.6,
  },
  full: {
    file: 'face_detection_full_range.tflite',
    sha256: '99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3',
    size: 192,
    grids: [[48, 1]],
    minScore: 0.6,
  },
  short: {
    file: 'face_detection_short_range.tflite',
    sha256: '3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633',
    size: 128,
    grids: [
      [16, 2],
      [8, 6],
    ],
    minScore: 0.5,
  },
} as const satisfies Record<string, FaceModel>;

export type FaceModelName = keyof typeof faceModels;
export const faceModelNames = Object.keys(faceModels) as [FaceModelName, ...FaceModelName[]];

/** Centres of the anchors, x and y in turn, 0…1 of the square: rows, columns in a row, anchors in a cell. */
export function anchorCentres({ grids }: FaceModel): Float32Array {
  const centres: number[] = [];
  for (const [cells, anchors] of grids)
    for (let row = 0; row < cells; row++)
      for (let column = 0; column < cells; column++)
        for (let anchor = 0; anchor < anchors; anchor++)
          centres.push((column + 0.5) / cells, (row + 0.5) / cells);
  return Float32Array.from(centres);
}
