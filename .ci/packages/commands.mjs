// The page of all commands: what each says of itself, and then those below it.

import { run } from './folders.mjs';

/** Returns the page, as the program at this path tells it. */
export function commandsPage(program) {
  const described = describe(program, []);
  if (described.commands < 20)
    throw new Error(`\`${program}\` tells of ${described.commands} commands`);
  return `# All commands\n\nWhat \`stagedoor help\` says of each.\n${described.text}`;
}

function describe(program, command) {
  const help = run(program, [...command, '--help'], { cwd: '/', env: { PATH: process.env.PATH } });
  const level = '#'.repeat(Math.min(Math.max(command.length, 1), 2) + 1);
  const told = help.trimEnd().replace(/[ \t]+$/gm, '');
  let text = `\n${level} ${['stagedoor', ...command].join(' ')}\n\n\`\`\`text\n${told}\n\`\`\`\n`;
  let commands = 1;
  for (const name of subcommands(help)) {
    const below = describe(program, [...command, name]);
    text += below.text;
    commands += below.commands;
  }
  return { text, commands };
}

/** The names in the list of commands, without `help`, which explains others. */
function subcommands(help) {
  const [, list = ''] = /^Commands:\n((?: .*\n)+)/m.exec(help) ?? [];
  const names = list.matchAll(/^ {2}(\S+)/gm);
  return [...names].map(([, name]) => name).filter(name => name !== 'help');
}
