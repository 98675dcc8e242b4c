// The API's description, from openapi.json.

function element(name, content = "", className = "") {
  const made = document.createElement(name);
  made.className = className;
  if (Array.isArray(content)) made.append(...content);
  else code(made, content);
  return made;
}

function code(parent, text) {
  // Text in which `these` are code.
  text.split("`").forEach((part, place) => {
    if (place % 2 === 0) return parent.append(part);
    const made = document.createElement("code");
    made.textContent = part;
    return parent.append(made);
  });
}

function pre(text) {
  const made = document.createElement("pre");
  made.tabIndex = 0; // it scrolls
  made.textContent = text;
  return made;
}

const short = (value) => {
  // JSON with lists of numbers on one line, long ones cut.
  const lists = [];
  const keep = (key, list) => {
    if (!Array.isArray(list) || !list.every((item) => typeof item === "number")) return list;
    lists.push(list.length > 24 ? `[${list.slice(0, 8).join(", ")}, … ${list.length} in all]` : `[${list.join(", ")}]`);
    return `@${lists.length - 1}@`;
  };
  return JSON.stringify(value, keep, 2).replace(/"@(\d+)@"/g, (_, place) => lists[place]);
};

function curl(method, path, operation) {
  const address = `${location.origin}${path}`;
  if (method === "get") return `curl ${address}`;
  return Object.keys(operation.requestBody.content).map((type) => {
    if (type === "multipart/form-data") return `curl -F picture=@photo.jpg ${address}`;
    if (type === "image/*") return `curl -H 'content-type: image/jpeg' --data-binary @photo.jpg ${address}`;
    const file = type === "application/json" ? "images.json" : path.endsWith("read") ? "photo.jpg" : "images.bin";
    return `curl -H 'content-type: ${type}' --data-binary @${file} ${address}`;
  }).join("\n");
}

function fields(schema) {
  const rows = Object.entries(schema?.properties ?? {}).map(([name, { description = "", type = "" }]) =>
    element("tr", [element("td", `\`${name}\``), element("td", [].concat(type).join(" or ")), element("td", description)]));
  const head = element("tr", ["field", "type", "meaning"].map((name) => element("th", name)));
  return rows.length ? [element("table", [element("thead", [head]), element("tbody", rows)])] : [];
}

function endpoint(path, method, operation) {
  const title = element("h2", [element("span", method.toUpperCase(), "method"), element("code", path)]);
  const parts = [title, element("p", operation.summary)];
  for (const paragraph of (operation.description ?? "").split("\n\n").filter(Boolean)) parts.push(element("p", paragraph));
  parts.push(pre(curl(method, path, operation)));
  for (const parameter of operation.parameters ?? []) {
    parts.push(element("p", `\`${parameter.name}\` (${parameter.in}): ${parameter.schema.type}, ${parameter.schema.default} if left out`));
  }
  if (operation.requestBody) {
    parts.push(element("h3", "Takes"), element("p", operation.requestBody.description));
    const { example } = operation.requestBody.content["application/json"] ?? {};
    if (example) parts.push(pre(short(example)));
  }
  parts.push(element("h3", "Gives"));
  const answer = operation.responses["200"].content["application/json"];
  if (answer) parts.push(...fields(answer.schema));
  if (answer?.example) parts.push(pre(short(answer.example)));
  if (!answer) parts.push(element("p", `${operation.responses["200"].description}, as ${Object.keys(operation.responses["200"].content).join(", ")}.`));
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  parts.push(element("h3", "Or, with an `error`"), element("table", [element("tbody",
    errors.map(([status, { description }]) => element("tr", [element("td", status), element("td", description)])))]));
  return element("section", parts);
}

const description = await (await fetch("openapi.json")).json();
code(document.getElementById("about"), description.info.description);
for (const [path, operations] of Object.entries(description.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    document.getElementById("endpoints").append(endpoint(path, method, operation));
  }
}
