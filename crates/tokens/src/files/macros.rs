//! The macro of documents that resolve a name when they are opened: its source, in which only the
//! host name is what it has to be.
//!
//! Office itself fetches the picture whose host that is, on Windows and on a Mac; the macro starts no
//! program. The name is `u<user>.o<win|mac>.i<address>.MM.<two digits>.<host>`: the user in base32,
//! the address with dashes, the digits against caches.

use super::Dice;
use super::vba::{self, Module};

/// Which program runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Word.
    Word,
    /// Excel.
    Excel,
}

/// A project whose macro asks for a name under `host`; `port` is that of the picture's URL.
pub fn project(dice: &mut Dice, program: Program, host: &str, port: &str) -> Vec<u8> {
    let mut modules = vec![document(dice, program, host, port)];
    let name = match program {
        Program::Word => "Project",
        Program::Excel => {
            modules.push(Module {
                name: "Sheet1",
                source: head("Sheet1", "0{00020820-0000-0000-C000-000000000046}", "False"),
            });
            "VBAProject"
        }
    };
    vba::project(dice, name, &modules)
}

fn document(dice: &mut Dice, program: Program, host: &str, port: &str) -> Module {
    let (name, head) = match program {
        Program::Word => (
            "ThisDocument",
            head("ThisDocument", "1Normal.ThisDocument", "True"),
        ),
        Program::Excel => (
            "ThisWorkbook",
            head(
                "ThisWorkbook",
                "0{00020819-0000-0000-C000-000000000046}",
                "False",
            ),
        ),
    };
    Module {
        name,
        source: head + &source(dice, program, host, port),
    }
}

/// The attributes that every document module begins with.
fn head(name: &str, base: &str, derived: &str) -> String {
    format!(
        "Attribute VB_Name = \"{name}\"\r\nAttribute VB_Base = \"{base}\"\r\nAttribute VB_GlobalNameSpace = False\r\n\
         Attribute VB_Creatable = False\r\nAttribute VB_PredeclaredId = True\r\nAttribute VB_Exposed = True\r\n\
         Attribute VB_TemplateDerived = {derived}\r\nAttribute VB_Customizable = True\r\n"
    )
}

fn source(dice: &mut Dice, program: Program, host: &str, port: &str) -> String {
    let names = Names::new(dice);
    let page = format!(
        "{}.{}",
        dice.pick(PICTURES),
        dice.pick(&["gif", "png", "jpg"])
    );
    let (event, canvas, clean) = match program {
        Program::Word => (
            "Document_Open",
            "ActiveDocument.Shapes",
            "ActiveDocument.Saved = True",
        ),
        Program::Excel => (
            "Workbook_Open",
            "ThisWorkbook.Worksheets(1).Shapes",
            "ThisWorkbook.Saved = True",
        ),
    };
    let mut parts = [
        SHOW.replace("EVENT", event)
            .replace("CANVAS", canvas)
            .replace("CLEAN", clean)
            .replace("HOST", host)
            .replace("PORT", port)
            .replace("PAGE", &page),
        WHO.to_owned(),
        WHERE.to_owned(),
        PACK.to_owned(),
    ];
    if let Some(others) = parts.get_mut(1..) {
        dice.shuffle(others);
    }
    let mut text = parts.join("\n");
    for (placeholder, name) in names.0 {
        text = text.replace(placeholder, &name);
    }
    let indent = dice.pick(&["    ", "  ", "\t"]);
    let lines = text.lines().map(|line| {
        let depth = line.len() - line.trim_start_matches(' ').len();
        format!(
            "{}{}\r\n",
            indent.repeat(depth),
            line.trim_start_matches(' ')
        )
    });
    lines.collect()
}

/// Names of functions and variables, another in every document.
struct Names(Vec<(&'static str, String)>);

impl Names {
    fn new(dice: &mut Dice) -> Self {
        let mut taken: Vec<String> = Vec::new();
        let mut fresh = |dice: &mut Dice, function: bool| loop {
            let (verb, noun) = (dice.pick(VERBS), dice.pick(NOUNS));
            let name = match (function, dice.number(0, 3)) {
                (true, _) => format!("{verb}{noun}"),
                (false, 0) => format!("{}{}", noun.to_lowercase(), dice.number(1, 9)),
                (false, 1) => format!("s{noun}"),
                (false, _) => format!("{}{noun}", verb.to_lowercase()),
            };
            if !taken.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
                taken.push(name.clone());
                return name;
            }
        };
        let functions = ["@Pack", "@Who", "@Where"].map(|place| (place, fresh(dice, true)));
        let variables = [
            "$letters", "$text", "$index", "$step", "$code", "$count", "$value", "$last", "$bytes",
            "$name", "$shape", "$system", "$adapter",
        ]
        .map(|place| (place, fresh(dice, false)));
        Self(functions.into_iter().chain(variables).collect())
    }
}

const SHOW: &str = r#"Private Sub EVENT()
 Dim $name As String, $shape As Object, $system As String
 On Error Resume Next
 $system = "win"
#If Mac Then
 $system = "mac"
#End If
 Randomize
 $name = "u" & @Pack(@Who()) & ".o" & $system & ".i" & @Where() & ".MM." & Format(Int(Rnd * 100), "00") & ".HOST"
 Set $shape = CANVAS.AddPicture("http://" & $name & "PORT/PAGE", True, False, 0, 0, 1, 1)
 If Not $shape Is Nothing Then $shape.Delete
 CLEAN
End Sub
"#;

const WHO: &str = r#"Private Function @Who() As String
 On Error Resume Next
#If Mac Then
 @Who = Environ("USER")
#Else
 @Who = Environ("USERNAME")
#End If
 If Len(@Who) = 0 Then @Who = Application.UserName
End Function
"#;

const WHERE: &str = r#"Private Function @Where() As String
 Dim $adapter As Object
 On Error Resume Next
#If Not Mac Then
 For Each $adapter In GetObject("winmgmts:\\.\root\cimv2").ExecQuery("SELECT IPAddress FROM Win32_NetworkAdapterConfiguration WHERE IPEnabled = TRUE")
  If Len(@Where) = 0 Then @Where = Replace(Replace($adapter.IPAddress(0), ".", "-"), ":", "-")
 Next
#End If
End Function
"#;

const PACK: &str = r#"Private Function @Pack(ByVal $text As String) As String
 Dim $letters As String, $index As Long, $step As Long, $code As Long, $count As Long, $value As Long, $last As Long
 Dim $bytes(2) As Long
 $letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
 For $index = 1 To Len($text)
  $code = AscW(Mid($text, $index, 1)) And 65535
  If $code < 128 Then
   $last = 0
   $bytes(0) = $code
  ElseIf $code < 2048 Then
   $last = 1
   $bytes(0) = 192 + $code \ 64
   $bytes(1) = 128 + ($code And 63)
  Else
   $last = 2
   $bytes(0) = 224 + $code \ 4096
   $bytes(1) = 128 + (($code \ 64) And 63)
   $bytes(2) = 128 + ($code And 63)
  End If
  For $step = 0 To $last
   $value = $value * 256 + $bytes($step)
   $count = $count + 8
   Do While $count >= 5
    $count = $count - 5
    @Pack = @Pack & Mid($letters, $value \ (2 ^ $count) + 1, 1)
    $value = $value And (2 ^ $count - 1)
   Loop
  Next
 Next
 If $count > 0 Then @Pack = @Pack & Mid($letters, $value * 2 ^ (5 - $count) + 1, 1)
 @Pack = Left(@Pack, 60)
End Function
"#;

const VERBS: &[&str] = &[
    "Adjust", "Apply", "Build", "Check", "Clean", "Collect", "Compute", "Convert", "Fetch", "Fill",
    "Find", "Format", "Get", "Init", "Layout", "List", "Load", "Make", "Merge", "Place", "Prepare",
    "Read", "Refresh", "Resolve", "Set", "Show", "Sort", "Trim", "Update", "Write",
];
const NOUNS: &[&str] = &[
    "Author", "Block", "Border", "Chart", "Code", "Column", "Date", "Entry", "Field", "Figure",
    "Footer", "Group", "Header", "Image", "Item", "Label", "Line", "Link", "Logo", "Margin",
    "Name", "Number", "Owner", "Page", "Range", "Region", "Row", "Sheet", "Style", "Table", "Text",
    "Title", "Total", "Unit", "User", "Value",
];
const PICTURES: &[&str] = &[
    "banner",
    "brand",
    "chart",
    "corner",
    "footer",
    "header",
    "icon",
    "letterhead",
    "line",
    "logo",
    "map",
    "photo",
    "seal",
    "signature",
    "stamp",
    "title",
    "watermark",
];

#[cfg(test)]
mod tests {
    use super::*;
    use coalmine_core::Seed;

    #[test]
    fn sources_differ_and_hold_the_host() {
        let make = |n: u8, program| {
            let mut dice = Dice::new(&Seed::new([n; 32]), "macro");
            source(&mut dice, program, "tok.tokens.example.com", ":8080")
        };
        let one = make(1, Program::Word);
        assert_ne!(one, make(2, Program::Word));
        for text in [one, make(3, Program::Excel)] {
            assert!(text.contains("\".tok.tokens.example.com\"\r\n"), "{text}");
            assert!(
                text.contains("\":8080/") && text.contains("\".MM.\""),
                "{text}"
            );
            assert!(!text.contains(['@', '$']) && text.is_ascii(), "{text}");
            assert_eq!(text.matches("\n").count(), text.matches("\r\n").count());
        }
    }
}
