// Markdown as React elements. Transcripts are hostile input: HTML is shown as text, images and unknown links as labels,
// so nothing runs and nothing is requested from other origins. Loaded when the first answer is shown.

import bash from "highlight.js/lib/languages/bash";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import { memo, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";

import { safeUrl } from "../ui/links.ts";

const lowlight = createLowlight({
  bash,
  css,
  diff,
  go,
  java,
  json,
  python,
  rust,
  sql,
  typescript,
  xml,
  yaml,
});

/** Longer code is shown without colours: colouring it takes too long. */
const MAX_COLOURED = 10_000;

type Node = ReturnType<typeof lowlight.highlight>["children"][number];

/** The elements of coloured code. */
function coloured(nodes: readonly Node[]): ReactNode[] {
  return nodes.map((node, at) => {
    if (node.type === "text") return node.value;
    if (node.type !== "element") return null;
    const names = node.properties.className;
    return (
      // The pieces of a code never change their places.
      <span key={at} className={Array.isArray(names) ? names.join(" ") : undefined}>
        {coloured(node.children as Node[])}
      </span>
    );
  });
}

export const Code = memo(function Code({ text, language }: { text: string; language: string | null }) {
  if (!language || text.length > MAX_COLOURED || !lowlight.registered(language)) return text;
  return coloured(lowlight.highlight(language, text).children);
});

const components: Components = {
  a({ href, children }) {
    const url = safeUrl(href);
    if (!url) return <span title={href}>{children}</span>;
    return (
      <a href={url} target="_blank" rel="noopener noreferrer nofollow" title={url}>
        {children}
      </a>
    );
  },
  img({ src, alt }) {
    const url = safeUrl(typeof src === "string" ? src : undefined);
    const label = `Image${alt ? `: ${alt}` : ""}`;
    if (!url) return <span className="image-label">{label}</span>;
    return (
      <a className="image-label" href={url} target="_blank" rel="noopener noreferrer nofollow" title={url}>
        {label}
      </a>
    );
  },
  input({ checked }) {
    return <span className="task-box">{checked ? "☑" : "☐"} </span>;
  },
  table({ children }) {
    return (
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll a wide table
      <section className="table-scroll" tabIndex={0} aria-label="Table">
        <table>{children}</table>
      </section>
    );
  },
  pre({ children }) {
    return (
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard must be able to scroll wide code
      <pre tabIndex={0}>{children}</pre>
    );
  },
  code({ className, children }) {
    const language = /language-(\S+)/.exec(className ?? "")?.[1] ?? null;
    if (typeof children !== "string" || !language) return <code>{children}</code>;
    return (
      <code>
        <Code text={children} language={language} />
      </code>
    );
  },
};

const plugins = [remarkGfm];

export default memo(function Markdown({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={plugins} components={components} urlTransform={(url) => url}>
      {text}
    </ReactMarkdown>
  );
});
