import type { Area } from '../harness/area.js';
import { parts } from '../harness/parts.js';
import { features } from './extractor.js';
import { inference } from './inference.js';
import { floatTemplates } from './templates.js';
import { memory, quantize, trainPictures, trainRows, trainWindows } from './train.js';

const keras = { peer: 'TensorFlow with Keras', needs: [parts.tensorflow] };

export const area: Area = {
  about: 'training, quantizing, features, inference',
  cases: {
    quantize: { ...keras, run: quantize },
    'train-rows': { ...keras, run: trainRows },
    'train-windows': { ...keras, run: trainWindows },
    'train-pictures': { ...keras, run: trainPictures },
    features: { peer: "the original's libraries in Python", needs: [parts.har], run: features },
    inference: { peer: 'tflite-micro, ai-edge-litert', needs: [parts.tflm, parts.litert], run: inference },
    templates: { peer: 'ai-edge-litert', needs: [parts.litert], run: floatTemplates },
    memory: { run: memory },
  },
};
