import { basename, resolve } from 'node:path';
import { AiotError } from '../core/errors.js';
import { namePattern } from '../core/names.js';
import type { LabelFrom } from '../data/tables/loose-recordings.js';
import { type ChipName, chipNames } from '../model/fit/chips.js';
import { type Survey, surveyData } from '../project/own-project.js';
import { type Asker, type Judged, oneOf } from './questions.js';
import { surveyText } from './render/project.js';
import { bold } from './render/text.js';

/** The basis of a project: a template's name, or the properties of the user's data. */
export type Beginning = { name: string | undefined } & (
  | { template: string }
  | { survey: Survey; chip: ChipName | undefined }
);

const subjects = {
  'har-imu': 'resting, walking or stairs; includes real accelerometer recordings',
  'motor-watch': 'the state of a motor; includes simulated recordings',
  own: 'your own data: CSV recordings, or a CSV file of rows',
  'keyword-spotting': 'spoken words; includes words of synthetic voices',
  'person-or-part': 'parts on a tray, in drawn pictures or your own',
  'count-parts': 'the number and positions of parts, in drawn pictures or your own',
  'iot-kit': 'boards, routes and consumers over MQTT and Kafka; no model yet',
  'face-camera': 'faces in front of a camera; includes drawn pictures',
} as const;

/**
 * Asks for the new project's subject and name. If the user has data, also asks for the data's location, its labels and the target
 * chip, and for a sampling rate that the data does not reveal.
 */
export async function askForProject(
  asker: Asker,
  given: { dir: string; name: string | undefined },
  say: (text: string) => void,
): Promise<Beginning> {
  say(bold('What should the model detect?'));
  const names = Object.keys(subjects) as (keyof typeof subjects)[];
  for (const [i, name] of names.entries()) say(`  ${i + 1}  ${name.padEnd(16)} ${subjects[name]}`);
  const subject = await asker.ask({ text: 'Template?', otherwise: '1', judge: oneOf(names) });
  const otherwise = folderName(given.dir);
  const name = given.name ?? (await asker.ask({ text: 'Project name?', otherwise, judge: judgeName }));
  if (subject !== 'own') return { name, template: subject };
  let survey = await askForData(asker);
  say(surveyText(survey));
  survey = await askForLabels(asker, survey, say);
  const chip = await asker.ask({
    text: `Target chip: ${chipNames.join(', ')}, or none (a Pi, a server)?`,
    otherwise: 'esp32',
    judge: (answer): Judged<ChipName | undefined> =>
      answer === 'none' ? { value: undefined } : oneOf(chipNames)(answer),
  });
  return { name, survey, chip };
}

function folderName(dir: string): string {
  const name = basename(resolve(dir));
  return namePattern.test(name) ? name : 'watch';
}

function judgeName(answer: string): Judged<string> {
  if (namePattern.test(answer)) return { value: answer };
  return { problem: 'Use letters, digits, dots, dashes or underscores, at most 64 characters.' };
}

async function askForData(asker: Asker): Promise<Survey> {
  const survey = await asker.ask({
    text: 'Where is your data? A folder of CSV recordings, or a CSV file of rows:',
    judge: (path) => (path === '' ? { problem: 'Enter a folder or a file.' } : surveyed({ path })),
  });
  if (survey.rateFrom !== 'assumed') return survey;
  return await asker.ask({
    text: 'What is the sampling rate in Hz? The files do not contain it.',
    otherwise: String(survey.rateHz),
    judge: (answer) => {
      const rateHz = Number(answer);
      return rateHz > 0 && Number.isFinite(rateHz)
        ? surveyed({ path: survey.path, rateHz })
        : { problem: 'Enter a number above 0.' };
    },
  });
}

async function askForLabels(asker: Asker, survey: Survey, say: (text: string) => void): Promise<Survey> {
  const told = survey.labelColumn === null ? survey.labelFrom : `column:${survey.labelColumn}`;
  const ways = survey.kind === 'rows' ? 'column:NAME, or none' : 'name, folder, column:NAME, or none';
  return await asker.ask({
    text: `Where are the labels (${ways})?`,
    otherwise: told,
    judge: async (answer) => {
      if (answer === told) return { value: survey };
      if (!/^(name|folder|none|column:.+)$/.test(answer)) return { problem: `Enter ${ways}.` };
      const rateHz = survey.rateFrom === 'told' ? survey.rateHz! : undefined;
      const judged = await surveyed({ path: survey.path, labelFrom: answer as LabelFrom, rateHz });
      if ('value' in judged) say(surveyText(judged.value));
      return judged;
    },
  });
}

/** Inspects the data. If there is a problem, reports the problem and asks for the location again. */
async function surveyed(options: Parameters<typeof surveyData>[0]): Promise<Judged<Survey>> {
  try {
    return { value: await surveyData(options) };
  } catch (error) {
    if (error instanceof AiotError) return { problem: error.message };
    throw error;
  }
}
