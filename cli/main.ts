import { CodedError } from '@veritee/protocol';
import { EXIT, exitOfError } from './exit.ts';
import { printJson, say } from './io.ts';
import { run } from './program.ts';

const json = process.argv.includes('--json');

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const status = exitOfError(error);
  const coded =
    error instanceof CodedError
      ? { code: error.code, message: error.message }
      : { code: 'INTERNAL', message: 'a defect of veritee; please report it' };
  if (json) printJson({ error: coded });
  else say(`veritee: ${coded.code}: ${coded.message}`);
  if (status === EXIT.defect) say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = status;
}
