// Lays out the documents for the site, from where they stand in the repository:
// `node site.mjs DIR PROGRAM`. The page of all commands is what the program says of itself; the
// reference of the packages is what TypeDoc makes of them.
//
// Which pages there are, pages.json says. Links from one to another stay links; those to other files
// lead to the repository; one that leads nowhere fails.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

import { commandsPage } from './commands.mjs';
import { root } from './folders.mjs';
import { referencePage, writeReference } from './reference.mjs';

const BASE = process.env.SITE_BASE ?? '/stagedoor/';
const REPOSITORY = 'https://github.com/stagedoor/stagedoor';

/** A door that is ajar. */
const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<path fill="#3451b2" d="M3 1h10v14H3z"/><path fill="#fff" d="M5 3l6 1.5v9L5 13z"/>
<circle cx="9.5" cy="9" r=".8" fill="#3451b2"/></svg>\n`;

const [out, program] = process.argv.slice(2);
if (program === undefined)
  throw new Error('name the directory to lay the site out in, and the command');
const groups = JSON.parse(readFileSync(join(root, '.ci/packages/pages.json'), 'utf8')).map(
  ({ title, pages, folder }) => ({ title, pages: pages ?? pagesOf(folder) }),
);
const listed = new Map(
  groups.flatMap(({ pages }) => pages.map(([file]) => [file, addressOf(file)])),
);

function pagesOf(folder) {
  const files = readdirSync(join(root, folder)).filter(file => file.endsWith('.md'));
  return files.sort().map(file => [`${folder}/${file}`, file.replace(/\.md$/, '')]);
}

/** The file that a page becomes: those that stand for their folder are its index. */
function addressOf(file) {
  return file.replace(/(^|\/)README\.md$/, '$1index.md').toLowerCase();
}

/** The pages that no file has, by what pages.json calls them. */
const GENERATED = {
  commands: () => commandsPage(program),
  reference: () => referencePage(BASE.replace(/\/$/, '')),
};
const generated = new Map(
  groups
    .flatMap(({ pages }) => pages)
    .filter(([, , kind]) => kind !== undefined)
    .map(([file, , kind]) => [file, GENERATED[kind]()]),
);
const lost = [];

/** Returns where a link of a page leads on the site. */
function resolved(link, page) {
  if (/^([a-z]+:|#)/.test(link)) return link;
  const [path, anchor] = link.split('#');
  const target = normalize(join(dirname(page), decodeURIComponent(path))).replace(/\/$/, '') || '.';
  const hash = anchor === undefined ? '' : `#${anchor}`;
  for (const file of [target, join(target, 'README.md')]) {
    const address = listed.get(file);
    if (address !== undefined) {
      const from = dirname(addressOf(page));
      const own = relative(from, address) || address;
      return (own.startsWith('.') ? own : `./${own}`) + hash;
    }
  }
  const real = join(root, target);
  if (!existsSync(real)) {
    lost.push(`${page}: ${link}`);
    return link;
  }
  return `${REPOSITORY}/${statSync(real).isDirectory() ? 'tree' : 'blob'}/main/${target}${hash}`;
}

/** Pictures come along. */
function picture(link, page) {
  if (/^[a-z]+:/.test(link)) return link;
  const target = normalize(join(dirname(page), link));
  if (!existsSync(join(root, target))) {
    lost.push(`${page}: ${link}`);
    return link;
  }
  mkdirSync(join(out, 'public', dirname(target)), { recursive: true });
  copyFileSync(join(root, target), join(out, 'public', target));
  return `/${target}`;
}

/** Turns links outside of code; a page's own code says what it says. */
function laidOut(text, page) {
  const parts = text.split(/^(```[\s\S]*?^```|~~~[\s\S]*?^~~~)/m);
  return parts
    .map((part, n) => {
      if (n % 2 === 1) return runnable(part);
      return part
        .replace(/(!?)\[((?:[^\][]|\[[^\]]*\])*)\]\(([^)\s]+)\)/g, (_, sign, label, link) => {
          const to = sign ? picture(link, page) : resolved(link, page);
          return `${sign}[${label}](${to})`;
        })
        .replace(/^(\[[^\]]+\]:\s+)(\S+)$/gm, (_, head, link) => head + resolved(link, page));
    })
    .join('');
}

/** What is hidden in Rust's own documentation is hidden here too. */
function runnable(block) {
  return block.startsWith('```rust') ? block.replace(/^# .*\n/gm, '') : block;
}

rmSync(out, { recursive: true, force: true });
for (const [file, address] of listed) {
  const text = generated.get(file) ?? readFileSync(join(root, file), 'utf8');
  const to = join(out, address);
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, laidOut(text, file));
}
const icon = join(out, 'public/icon.svg');
mkdirSync(dirname(icon), { recursive: true });
writeFileSync(icon, ICON);
writeReference(join(out, 'public/reference'), BASE, icon);
if (lost.length > 0) throw new Error(`links that lead nowhere:\n  ${lost.join('\n  ')}`);

const route = file => `/${addressOf(file).replace(/(index)?\.md$/, '')}`;
const config = {
  title: 'Stagedoor',
  description: 'Permission decisions for platform teams: one set of Cedar policies',
  lang: 'en',
  base: BASE,
  head: [['link', { rel: 'icon', href: `${BASE}icon.svg` }]],
  cleanUrls: false,
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    nav: [
      { text: 'Guide', link: route('crates/stagedoor/docs/GUIDE.md') },
      { text: 'Reference', link: '/reference' },
      { text: 'Changes', link: route('CHANGELOG.md') },
    ],
    sidebar: groups.map(({ title, pages }) => ({
      text: title,
      collapsed: title !== 'Begin',
      items: pages.map(([file, text]) => ({ text, link: route(file) })),
    })),
  },
  // Cedar reads like Rust to a highlighter; what others know nothing of is text.
  markdown: { languageAlias: { cedar: 'rust', cedarschema: 'rust' } },
};
mkdirSync(join(out, '.vitepress'), { recursive: true });
writeFileSync(
  join(out, '.vitepress/config.mjs'),
  `export default ${JSON.stringify(config, null, 2)};\n`,
);
console.log(`${listed.size} pages in ${out}`);
