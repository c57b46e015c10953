//! Tokens that are files: made over the API, opened by real programs, told once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::console::CONNECT;
use crate::nest::{Nest, await_some, client, free_port, have};

/// Python that makes tokens: `make` with the official client, `tokened` with a file to put them into.
/// Both download what was made into the folder `FOLDER`.
const MAKE: &str = "
import requests, urllib3
folder = os.environ['FOLDER']
key = ini['CanaryTools']['api_key']
url = os.environ['CONSOLE_URL'] + '/api/v1/canarytoken/'
made = {}
def make(name, kind):
    token = console.tokens.create(memo=name, kind=kind)
    token.download(os.path.join(folder, name))
    told = requests.get(url + 'download', params=dict(auth_token=key, canarytoken=token.canarytoken))
    made[name] = dict(token=token.canarytoken, hostname=token.hostname, served=told.headers['Content-Disposition'].split('filename=')[1])
def tokened(name, kind, field, bytes, **more):
    form = dict(auth_token=key, kind=kind, memo=name, **more)
    answer = requests.post(url + 'create', data=form, files={field: (name, bytes)}).json()
    if answer['result'] != 'success':
        made[name] = answer
        return
    token = answer['canarytoken']
    told = requests.get(url + 'download', params=dict(auth_token=key, canarytoken=token['canarytoken']))
    open(os.path.join(folder, name), 'wb').write(told.content)
    made[name] = dict(token=token['canarytoken'], hostname=token['hostname'], served=told.headers['Content-Disposition'].split('filename=')[1])
";

/// A running program whose tokens' names and URLs lead to it: names below `localhost` are this
/// machine without anybody's asking.
struct Field {
    nest: Nest,
    folder: PathBuf,
}

impl Field {
    fn start() -> Self {
        let nest = Nest::start(&format!(
            "[tokens]\naddress = \"127.0.0.1\"\nhttp_port = {}\ndns_port = {}\nnx_zone = \"nx.example.com\"\n",
            free_port() - 10_000,
            free_port() - 10_000
        ));
        let folder = nest.dir.path().join("files");
        std::fs::create_dir(&folder).unwrap();
        Self { nest, folder }
    }

    /// Makes tokens with [`MAKE`] and this code; what it put into `made`.
    fn make(&self, code: &str) -> Option<Value> {
        self.nest.python_with(
            &format!("{CONNECT}{MAKE}{code}\nprint(json.dumps(made))"),
            &[("FOLDER", self.folder.to_str().unwrap())],
        )
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Resolves a name as a resolver would.
    fn dig(&self, name: &str) -> String {
        let port = self.nest.run["tokens"]["dns_port"].to_string();
        client("dig", &["@127.0.0.1", "-p", &port, name, "A"])
    }

    /// Has LibreOffice open files and save them as `format`.
    fn office(&self, format: &str, files: &[&str]) {
        let profile = format!("-env:UserInstallation=file://{}", self.file("office"));
        let paths: Vec<String> = files.iter().map(|name| self.file(name)).collect();
        let mut arguments = vec![&*profile, "--headless", "--convert-to", format, "--outdir"];
        let out = self.file("converted");
        arguments.push(&out);
        arguments.extend(paths.iter().map(String::as_str));
        let said = client("soffice", &arguments);
        for name in files {
            let done = Path::new(&out).join(name).with_extension(format);
            assert!(done.is_file(), "{name}: {said}");
        }
    }

    /// Has LibreOffice run a module of Basic, in a profile that [`Field::office`] has made.
    fn basic(&self, code: &str) {
        let library = self.folder.join("office/user/basic/Standard");
        let text = code
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let module = format!(
            "<script:module xmlns:script=\"http://openoffice.org/2000/script\" script:name=\"Module1\" script:language=\"StarBasic\">{text}</script:module>"
        );
        let list = "<library:library xmlns:library=\"http://openoffice.org/2000/library\" library:name=\"Standard\" library:readonly=\"false\" library:passwordprotected=\"false\"><library:element library:name=\"Module1\"/></library:library>";
        std::fs::write(library.join("Module1.xba"), module).unwrap();
        std::fs::write(library.join("script.xlb"), list).unwrap();
        let profile = format!("-env:UserInstallation=file://{}", self.file("office"));
        client(
            "soffice",
            &[&profile, "--headless", "macro:///Standard.Module1.Main"],
        );
    }

    /// The one incident of this token, once it has as many events.
    fn incident(&self, made: &Value, events: usize) -> Value {
        let token = &made["token"];
        let of_token = |all: Value| -> Vec<Value> {
            let all = all["incidents"].as_array().unwrap();
            let own = |i: &&Value| i["description"]["node_id"] == *token;
            all.iter().filter(own).cloned().collect()
        };
        let found = await_some(|| {
            let found = of_token(self.nest.api("incidents/all"));
            let count = |i: &Value| i["description"]["events"].as_array().map_or(0, Vec::len);
            found
                .first()
                .is_some_and(|i| count(i) >= events)
                .then_some(found)
        });
        let found = found.unwrap_or_else(|| panic!("no {events} events of {made}"));
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    }
}

/// Everything about the token in the incident and its first event, but for what its channel adds.
fn assert_told(incident: &Value, made: &Value, memo: &str, channel: &str, wanted: &Value) {
    let d = &incident["description"];
    assert_eq!(incident["summary"], "Canarytoken triggered");
    assert_eq!(
        (&d["memo"], &d["src_host"]),
        (&json!(memo), &json!("127.0.0.1"))
    );
    assert_eq!(d["logtype"], wanted["logtype"]);
    let event = &d["events"][0];
    assert_eq!(
        (&event["channel"], &event["canarytoken"]),
        (&json!(channel), &made["token"])
    );
    assert_eq!(event["type"], event["kind"]);
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&event[name], value, "{name} of {event:#}");
    }
    let known = [
        "type",
        "kind",
        "channel",
        "canarytoken",
        "description",
        "logtype",
        "timestamp",
        "timestamp_std",
        "headers",
        "url",
        "hostname",
        "additional_info",
        "doc",
        "dst_port",
        "src_host",
    ];
    for name in event.as_object().unwrap().keys() {
        assert!(
            known.contains(&name.as_str()) || wanted.get(name).is_some(),
            "{name} of {event:#}"
        );
    }
}

/// The path at which the Console gives a token's file.
fn download(made: &Value) -> String {
    let token = made["token"].as_str().unwrap();
    format!("/api/v1/canarytoken/download?canarytoken={token}")
}

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

/// A document and a workbook as small as they get, without a footer or a drawing.
const SMALL: &str = r#"
import io, zipfile
def package(main, kind, parts):
    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
    types += ''.join(f'<Override PartName="/{p}" ContentType="application/vnd.openxmlformats-officedocument.{t}+xml"/>' for p, t, _ in parts if t) + '</Types>'
    rels = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="%s"/></Relationships>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr('[Content_Types].xml', types)
        z.writestr('_rels/.rels', rels % ('officeDocument', main))
        for p, t, text in parts:
            z.writestr(p, text)
        if kind == 'xl':
            z.writestr('xl/_rels/workbook.xml.rels', rels % ('worksheet', 'worksheets/sheet1.xml'))
    return out.getvalue()
docx = package('word/document.xml', 'word', [('word/document.xml', 'wordprocessingml.document.main', '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>mine</w:t></w:r></w:p></w:body></w:document>')])
S = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main'
xlsx = package('xl/workbook.xml', 'xl', [
    ('xl/workbook.xml', 'spreadsheetml.sheet.main', f'<workbook xmlns="{S}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="mine" sheetId="1" r:id="rId1"/></sheets></workbook>'),
    ('xl/worksheets/sheet1.xml', 'spreadsheetml.worksheet', f'<worksheet xmlns="{S}"><sheetData><row r="1"><c r="A1"><v>42</v></c></row></sheetData></worksheet>')])
"#;

#[test]
fn libreoffice_opens_documents_and_workbooks_and_is_told_of_once_each() {
    if !have("soffice") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make(&format!(
        "{SMALL}
make('new.docx', canarytools.CanaryTokenKinds.DOC_MSWORD)
make('sheet.xlsx', canarytools.CanaryTokenKinds.MSEXCEL)
tokened('mine.docx', 'doc-msword', 'doc', docx)
tokened('figures.xlsx', 'doc-msexcel', 'doc', xlsx)
kept = zipfile.ZipFile(os.path.join(folder, 'mine.docx'))
made['kept'] = kept.read('word/document.xml').decode()
tokened('bad.docx', 'doc-msword', 'doc', b'hello')
tokened('wrong.docx', 'doc-msword', 'doc', xlsx)
"
    )) else {
        return;
    };
    assert!(
        made["kept"].as_str().unwrap().contains("<w:t>mine</w:t>"),
        "{made}"
    );
    for (name, wanted) in [
        (
            "bad.docx",
            "doc: the file is no ZIP archive that can be read",
        ),
        (
            "wrong.docx",
            "doc: the file is not a Word document (.docx); save it as one",
        ),
    ] {
        let said = made[name]["message"].as_str().unwrap();
        assert!(said.contains(wanted), "{said}");
    }
    field.office(
        "pdf",
        &["new.docx", "sheet.xlsx", "mine.docx", "figures.xlsx"],
    );
    for (name, kind, description, logtype) in [
        ("new.docx", "doc-msword", "Canarytoken triggered", "17002"),
        ("mine.docx", "doc-msword", "Canarytoken triggered", "17002"),
        ("sheet.xlsx", "doc-msexcel", "MS Excel Document", "17023"),
        ("figures.xlsx", "doc-msexcel", "MS Excel Document", "17023"),
    ] {
        let made = &made[name];
        // It asks for options before it fetches.
        let incident = field.incident(made, 2);
        let mut wanted = json!({"kind": kind, "description": description, "logtype": logtype});
        if kind == "doc-msword" {
            wanted["doc"] = json!(download(made));
            wanted["doc_name"] = made["served"].clone();
            wanted["doc_type"] = json!(WORD);
        }
        assert_told(&incident, made, name, "http", &wanted);
        for (n, method) in [(0, "OPTIONS"), (1, "GET")] {
            let event = &incident["description"]["events"][n];
            assert_eq!(event["additional_info"]["method"], method, "{event:#}");
            let agent = event["headers"]["User-Agent"].as_str().unwrap();
            assert!(agent.starts_with("LibreOffice "), "{agent}");
        }
    }
    let name = |key: &str| made[key]["served"].as_str().unwrap().to_owned();
    assert_eq!(
        (&*name("mine.docx"), &*name("figures.xlsx")),
        ("mine.docx", "figures.xlsx")
    );
    assert!(name("new.docx").ends_with(".docx") && name("sheet.xlsx").ends_with(".xlsx"));
}

#[test]
fn a_document_that_is_opened_a_thousand_times_is_one_incident() {
    let field = Field::start();
    let made = field.nest.post(
        "canarytoken/create",
        &[("kind", "doc-msword"), ("memo", "copies")],
    );
    let token = made["canarytoken"]["canarytoken"].as_str().unwrap();
    let port = u16::try_from(field.nest.run["tokens"]["http_port"].as_u64().unwrap()).unwrap();
    let request = format!(
        "GET /{token}/logo.png HTTP/1.1\r\nHost: a\r\nUser-Agent: Microsoft Office\r\n\r\n"
    );
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let address = SocketAddr::from(([127, 0, 0, 1], port));
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answer = [0; 4096];
                for _ in 0..50 {
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut got = 0;
                    while !answer[..got].ends_with(b"\x01\0;") {
                        let more = stream.read(&mut answer[got..]).unwrap();
                        assert!(more > 0);
                        got += more;
                    }
                }
            });
        }
    });
    let incident = field.nest.incident("Canarytoken triggered", 1000);
    assert_eq!(incident["description"]["logtype"], "17002");
}

#[test]
fn macros_are_read_by_olevba_and_libreoffice_and_their_names_are_told() {
    if !have("soffice") || !have("dig") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make(
        "
from oletools.olevba import VBA_Parser
make('plan.docm', canarytools.CanaryTokenKinds.MSWORDMACRO)
make('plan.xlsm', canarytools.CanaryTokenKinds.MSEXCELMACRO)
for name in ('plan.docm', 'plan.xlsm'):
    macros = VBA_Parser(os.path.join(folder, name)).extract_all_macros()
    made[name]['source'] = ''.join(code for _, _, _, code in macros)
",
    ) else {
        return;
    };
    field.office("odt", &["plan.docm"]);
    let saved = field.file("converted/plan.odt");
    let word = client("unzip", &["-p", &saved, "Basic/*/ThisDocument.xml"]);
    // Basic is close enough to VBA to pack a user's name as the macro does.
    let source = made["plan.xlsm"]["source"].as_str().unwrap();
    let pack = source
        .split("Private Function ")
        .find(|function| function.contains("(ByVal "))
        .unwrap();
    let (name, pack) = (
        pack.split('(').next().unwrap(),
        pack.split("End Function").next().unwrap(),
    );
    field.basic(&format!(
        "Option VBASupport 1
Function {pack}End Function
Sub Main
  Dim f, d, a(0)
  f = FreeFile
  Open \"{}\" For Output As #f
  Print #f, {name}(\"jd\" & ChrW(246) & \"e\")
  a(0) = CreateUnoStruct(\"com.sun.star.beans.PropertyValue\")
  a(0).Name = \"Hidden\"
  a(0).Value = True
  d = StarDesktop.loadComponentFromURL(\"file://{}\", \"_blank\", 0, a())
  Print #f, d.BasicLibraries.getByName(\"VBAProject\").getByName(\"ThisWorkbook\")
  Close #f
  d.close(True)
End Sub
",
        field.file("said"),
        field.file("plan.xlsm")
    ));
    let said = std::fs::read_to_string(field.file("said")).unwrap();
    let (user, excel) = said.split_once('\n').unwrap();
    let user = user.trim();
    for (name, library, event, kind, description, logtype, mime) in [
        (
            "plan.docm",
            &*word,
            "Document_Open",
            "msword-macro",
            "MS Word .docm Document",
            "16009",
            "application/vnd.ms-word.document.macroEnabled.12",
        ),
        (
            "plan.xlsm",
            excel,
            "Workbook_Open",
            "msexcel-macro",
            "MS Excel .xlsm Document",
            "16010",
            "application/vnd.ms-excel.sheet.macroEnabled.12",
        ),
    ] {
        let made = &made[name];
        let source = made["source"].as_str().unwrap();
        let host = made["hostname"].as_str().unwrap();
        assert!(
            source.contains(&format!("Private Sub {event}()")),
            "{source}"
        );
        assert!(source.contains(&format!("\".{host}\"")), "{source}");
        assert!(
            library.contains(event) && library.contains(host),
            "{library}"
        );

        // A resolver that asks from the end, then the whole name.
        field.dig(&format!("42.{host}"));
        field.dig(&format!("MM.42.{host}"));
        field.dig(&format!("i10-0-0-5.MM.42.{host}"));
        let said = field.dig(&format!("u{user}.owin.i10-0-0-5.MM.42.{host}"));
        assert!(said.contains("status: NOERROR"), "{said}");
        let incident = field.incident(made, 1);
        let wanted = json!({
            "kind": kind, "description": description, "logtype": logtype,
            "doc": download(made), "doc_name": made["served"], "doc_type": mime,
            "ms_macro_username": "jdöe", "ms_macro_os": "Windows", "ms_macro_ip": "10.0.0.5",
            "hostname": format!("u{user}.owin.i10-0-0-5.MM.42.{host}"),
        });
        assert_told(&incident, made, name, "dns", &wanted);
        assert_eq!(
            incident["description"]["events"].as_array().unwrap().len(),
            1
        );
    }
}

#[test]
fn pdfs_are_sound_and_the_name_they_ask_for_is_told() {
    if !have("qpdf") || !have("mutool") || !have("dig") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make(
        "
import subprocess
make('plan.pdf', canarytools.CanaryTokenKinds.PDF)
def variant(name, *options):
    path = os.path.join(folder, 'in-' + name)
    subprocess.run(['qpdf', *options, '--', os.path.join(folder, 'plan.pdf'), path], check=True)
    tokened(name, 'pdf-acrobat-reader', 'pdf', open(path, 'rb').read())
variant('table.pdf', '--object-streams=disable')
variant('stream.pdf', '--object-streams=generate')
variant('linear.pdf', '--linearize', '--object-streams=generate')
variant('secret.pdf', '--encrypt', 'a', 'b', '256')
",
    ) else {
        return;
    };
    let said = made["secret.pdf"]["message"].as_str().unwrap();
    assert!(
        said.contains("pdf: the file is encrypted; save it without a password"),
        "{said}"
    );
    for (name, action) in [
        ("plan.pdf", "pages/1/AA/O/URI"),
        ("table.pdf", "trailer/Root/OpenAction/URI"),
        ("stream.pdf", "trailer/Root/OpenAction/URI"),
        ("linear.pdf", "trailer/Root/OpenAction/URI"),
    ] {
        let made = &made[name];
        let file = field.file(name);
        let checked = Command::new("qpdf")
            .args(["--check", &file])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(
            checked.status.success() && !said.contains("WARNING"),
            "{name}: {said}"
        );
        if name != "plan.pdf" {
            let before = std::fs::read(field.file(&format!("in-{name}"))).unwrap();
            assert!(std::fs::read(&file).unwrap().starts_with(&before), "{name}");
        }
        let uri = client("mutool", &["show", &file, action]);
        let host = uri
            .trim()
            .trim_start_matches("(http://")
            .split('/')
            .next()
            .unwrap();
        let token = made["token"].as_str().unwrap();
        assert_eq!(host, format!("{token}.nx.example.com"), "{uri}");
        let said = field.dig(host);
        assert!(said.contains("status: NXDOMAIN"), "{said}");
        let wanted = json!({
            "kind": "pdf-acrobat-reader", "description": "Acrobat Reader PDF Document",
            "logtype": "16008", "hostname": host,
        });
        assert_told(&field.incident(made, 1), made, name, "dns", &wanted);
    }
}

#[test]
fn a_folder_keeps_its_attributes_and_its_icons_host_is_told() {
    if !have("unzip") || !have("dig") {
        return;
    }
    let field = Field::start();
    let Some(made) = field.make("make('plan.zip', canarytools.CanaryTokenKinds.WINDOWS_DIR)")
    else {
        return;
    };
    let made = &made["plan.zip"];
    let file = field.file("plan.zip");
    let listed = client("unzip", &["-Z", &file]);
    let attributes: Vec<&str> = listed
        .lines()
        .filter(|l| l.contains(" fat "))
        .map(|l| &l[..7])
        .collect();
    assert_eq!(attributes, ["drwx--s", "-rw-ahs"], "{listed}");
    let ini = Command::new("unzip")
        .args(["-p", &file, "*/desktop.ini"])
        .output()
        .unwrap()
        .stdout;
    let wide: Vec<u16> = ini
        .chunks(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]))
        .collect();
    let ini = String::from_utf16(&wide).unwrap();
    let host = ini
        .split("=\\\\")
        .nth(1)
        .unwrap()
        .split('\\')
        .next()
        .unwrap();
    let host = host
        .replace("%USERNAME%", "j.doe")
        .replace("%COMPUTERNAME%", "WS-042")
        .replace("%USERDOMAIN%", "CORP");
    assert_eq!(
        host,
        format!(
            "j.doe.WS-042.CORP.INI.{}",
            made["hostname"].as_str().unwrap()
        )
    );
    field.dig(&host);
    let wanted = json!({
        "kind": "windows-dir", "description": "Windows Directory Browsing", "logtype": "16006",
        "windows_desktopini_access_username": "j.doe", "windows_desktopini_access_domain": "CORP",
        "windows_desktopini_computer_name": "WS-042", "hostname": host,
    });
    assert_told(&field.incident(made, 1), made, "plan.zip", "dns", &wanted);
}

#[test]
fn osslsigncode_checks_a_program_and_asks_for_the_revoked_certificates() {
    if !have("osslsigncode") || !have("openssl") || !have("curl") {
        return;
    }
    let field = Field::start();
    // Headers of a 64-bit program without sections.
    let Some(made) = field.make(
        "
import struct
program = b'MZ'.ljust(0x3c, b'\\0') + struct.pack('<I', 0x40) + b'PE\\0\\0' + struct.pack('<HHIIIHH', 0x8664, 0, 0, 0, 0, 240, 0x22)
program += (struct.pack('<H', 0x20b).ljust(108, b'\\0') + struct.pack('<I', 16)).ljust(240, b'\\0') + b'x' * 999
tokened('setup.exe', 'signed-exe', 'exe', program, exe_signer='Example Org')
tokened('text.exe', 'signed-exe', 'exe', b'hello')
",
    ) else {
        return;
    };
    let said = made["text.exe"]["message"].as_str().unwrap();
    assert!(
        said.contains("exe: the file is no Windows program"),
        "{said}"
    );
    let made = &made["setup.exe"];
    let (file, bundle, roots) = (
        field.file("setup.exe"),
        field.file("a.p7c"),
        field.file("a.pem"),
    );
    let signature = field.file("signature.pem");
    client(
        "osslsigncode",
        &[
            "extract-signature",
            "-pem",
            "-in",
            &file,
            "-out",
            &signature,
        ],
    );
    let text = client(
        "openssl",
        &[
            "pkcs7",
            "-in",
            &signature,
            "-print_certs",
            "-text",
            "-noout",
        ],
    );
    assert!(text.contains("Example Org"), "{text}");
    let url = |marker: &str| {
        let at = text.split(marker).nth(1).unwrap();
        at.split("URI:")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    client("curl", &["-s", "-o", &bundle, &url("CA Issuers")]);
    client(
        "openssl",
        &[
            "pkcs7",
            "-inform",
            "DER",
            "-in",
            &bundle,
            "-print_certs",
            "-out",
            &roots,
        ],
    );
    let incident = field.incident(made, 1);
    let wanted = json!({
        "kind": "signed-exe", "description": "Signed Exe", "logtype": "17008",
        "exe": download(made), "exe_name": "setup.exe", "exe_type": "application/x-msdownload",
    });
    assert_told(&incident, made, "setup.exe", "http", &wanted);
    // It trusts the chain now, so it goes on to ask which certificates were revoked.
    // Its own client of HTTP leaves names below `localhost` to the resolver, but not with a proxy.
    let proxy = format!(
        "http_proxy=http://127.0.0.1:{}",
        field.nest.run["tokens"]["http_port"]
    );
    let said = client(
        "env",
        &[
            &proxy,
            "osslsigncode",
            "verify",
            "-CAfile",
            &roots,
            "-in",
            &file,
        ],
    );
    assert!(said.contains("Signature verification: ok"), "{said}");
    let digests: Vec<&str> = said
        .lines()
        .filter(|line| {
            line.contains("message digest    :") || line.starts_with("Calculated message digest")
        })
        .filter_map(|line| line.split(':').nth(1))
        .collect();
    assert!(digests.len() == 2 && digests[0] == digests[1], "{said}");
    let incident = field.incident(made, 2);
    let asked = incident["description"]["events"][1]["url"]
        .as_str()
        .unwrap();
    assert!(
        url("CRL Distribution").ends_with(".crl") && asked.ends_with(".crl"),
        "{asked}"
    );
}
