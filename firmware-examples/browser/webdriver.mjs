// A minimal W3C WebDriver client for chromedriver, with the calls that the test needs.
import { spawn } from "node:child_process";

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

export class Browser {
  /** Starts chromedriver and a headless browser. */
  static async start() {
    const driver = spawn("chromedriver", ["--port=0"], { stdio: ["ignore", "pipe", "inherit"] });
    const port = await new Promise((resolve, reject) => {
      let said = "";
      driver.stdout.on("data", (text) => {
        said += text;
        const found = /successfully on port (\d+)/.exec(said);
        if (found) resolve(found[1]);
      });
      driver.on("error", reject);
      driver.on("exit", () => reject(new Error(`chromedriver ended: ${said}`)));
    });
    const browser = new Browser();
    browser.driver = driver;
    browser.root = `http://127.0.0.1:${port}/session`;
    const options = { args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1100,900"] };
    const capabilities = { alwaysMatch: { browserName: "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { browser: "ALL" } } };
    const { sessionId } = await browser.#send("POST", "", { capabilities });
    browser.root += `/${sessionId}`;
    await browser.#send("POST", "/timeouts", { script: 300_000 });
    return browser;
  }

  async end() {
    await this.#send("DELETE", "");
    this.driver.kill();
  }

  open = (url) => this.#send("POST", "/url", { url });
  /** Runs a function in the page, which may be asynchronous, and returns its result. */
  run = (work, ...args) => this.#send("POST", "/execute/sync", { script: `return (${work}).apply(null, arguments)`, args });
  devtools = (cmd, params = {}) => this.#send("POST", "/goog/cdp/execute", { cmd, params });
  screenshot = async () => Buffer.from(await this.#send("GET", "/screenshot"), "base64");
  errors = async () => (await this.#send("POST", "/se/log", { type: "browser" })).filter(({ level }) => level === "SEVERE").map(({ message }) => message);

  /** Types into an element: text, keys, or the path of a file. */
  async type(selector, text) {
    const found = await this.#send("POST", "/element", { using: "css selector", value: selector });
    await this.#send("POST", `/element/${found[ELEMENT]}/value`, { text });
  }

  /** Sends keys to the focused element. */
  async press(...keys) {
    const actions = keys.flatMap((value) => [{ type: "keyDown", value }, { type: "keyUp", value }]);
    await this.#send("POST", "/actions", { actions: [{ type: "key", id: "keyboard", actions }] });
  }

  /** Waits until a function in the page returns a truthy value, and returns it. */
  async until(what, work, ...args) {
    for (const start = Date.now(); Date.now() - start < 120_000; await new Promise((resume) => setTimeout(resume, 50))) {
      const found = await this.run(work, ...args);
      if (found) return found;
    }
    throw new Error(`the page never shows ${what}: ${await this.run(() => document.body.innerText)}`);
  }

  async #send(method, path, body) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const { value } = await (await fetch(this.root + path, { method, ...sent })).json();
    if (value?.error) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }
}
