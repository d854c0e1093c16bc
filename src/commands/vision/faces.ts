import { Args, Flags } from '@oclif/core';
import { AiotCommand } from '../../lib/cli/command.js';
import { decimal } from '../../lib/cli/flags/shared.js';
import { pictureText } from '../../lib/cli/render/chart.js';
import { dim, next, table } from '../../lib/cli/render/text.js';
import { plural } from '../../lib/core/figures.js';
import { faceModelNames } from '../../lib/vision/detector.js';
import { findFaces, foundFacesSchema } from '../../lib/vision/faces.js';

export default class VisionFaces extends AiotCommand {
  static override summary = 'Find faces in pictures and crop them.';
  static override description =
    'Runs BlazeFace as in MediaPipe, on this machine. It detects faces but does not identify people. sparse and full detect faces up to about 5 m away, short up to 2 m. To use a camera, see aiot init --template face-camera.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> photo.jpg',
    '<%= config.bin %> <%= command.id %> photos/*.jpg --out faces --margin 0.2',
    '<%= config.bin %> <%= command.id %> hall.png --zoom 2 --min-score 0.5 --json',
  ];
  static override strict = false;
  static override args = {
    pictures: Args.string({ required: true, description: 'JPEG, PNG, WebP, GIF, TIFF or AVIF files.' }),
  };
  static override flags = {
    model: Flags.option({ options: faceModelNames })({
      summary: 'Detection model.',
      default: 'sparse',
      env: 'AIOT_MODEL',
    }),
    'min-score': decimal({
      summary: 'Minimum score for a face, 0 to 1 [default: 0.6; 0.5 for short].',
      env: 'AIOT_MIN_SCORE',
    }),
    zoom: decimal({
      summary: 'Also detect faces up to this many times smaller, 1 to 4; slower [default: 1].',
      env: 'AIOT_ZOOM',
    }),
    out: Flags.string({
      char: 'o',
      summary: 'Folder for the faces: face0.png, face1.png, … in grayscale.',
      env: 'AIOT_OUT',
      helpValue: 'DIR',
    }),
    margin: decimal({
      summary:
        'Margin around the face, as a share of its size: 0 = brow to chin, 0.3 includes the hair [default: 0].',
      env: 'AIOT_MARGIN',
    }),
    size: Flags.integer({
      min: 8,
      max: 4096,
      summary: 'Longest side of a cropped face, in pixels [default: not resized].',
      env: 'AIOT_SIZE',
      helpValue: 'PIXELS',
    }),
  };
  static override result = foundFacesSchema;

  async run() {
    const { flags, words } = await this.input(VisionFaces);
    const { 'min-score': minScore, ...options } = flags;
    const shown: string[] = [];
    const found = await findFaces(words, {
      ...options,
      minScore,
      onFace: (_, crop) => shown.push(pictureText(crop, 24) ?? ''),
    });
    const rows = found.pictures.flatMap(({ file, faces }) =>
      faces.map(({ score, x, y, width, height, crop }) => [file, score, x, y, width, height, crop]),
    );
    if (found.faces > 0)
      this.print(table(['picture', 'score', 'x', 'y', 'width', 'height', 'written'], rows));
    if (shown.length <= 6) for (const text of shown) if (text !== '') this.print(`\n${text}`);
    const ms = found.pictures.reduce((sum, picture) => sum + picture.ms, 0) / found.pictures.length;
    this.print(
      `${plural(found.faces, 'face')} in ${plural(found.pictures.length, 'picture')} ${dim(`(${found.model}, ${ms.toFixed(1)} ms each)`)}`,
    );
    this.suggest(next('aiot init hall --template face-camera'));
    return found;
  }
}
