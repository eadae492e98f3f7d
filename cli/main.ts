import { ClientError } from '@veritee/client';
import { CodedError } from '@veritee/protocol';
import { EXIT, exitOfError } from './exit.ts';
import { printJson, say } from './io.ts';
import { run } from './program.ts';
import { renderFindings } from './render.ts';

const json = process.argv.includes('--json');

// A reader that has seen enough (`| head`) changes neither the verdict nor the status.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}
// Node's own status for these is 1, which here means contraindicated.
process.on('uncaughtException', (error) => {
  end(error);
  process.exit(EXIT.defect);
});

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  process.exitCode = end(error);
}

/** Says why a command ended. @returns its exit status */
function end(error: unknown): number {
  const status = exitOfError(error);
  const coded =
    error instanceof CodedError
      ? { code: error.code, message: error.message }
      : { code: 'INTERNAL', message: 'a defect of veritee; please report it' };
  if (json) printJson({ error: coded });
  else say(`veritee: ${coded.code}: ${coded.message}`);
  if (!json && error instanceof ClientError && error.result) say(renderFindings(error.result));
  if (status === EXIT.defect) say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return status;
}
