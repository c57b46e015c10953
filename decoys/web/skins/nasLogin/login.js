(function () {
  "use strict";
  var form = document.getElementById("signin");
  var alertBox = document.getElementById("alert");
  var peek = document.getElementById("peek");
  var password = document.getElementById("password");
  var button = form.querySelector(".go");

  peek.addEventListener("click", function () {
    var shown = password.type === "text";
    password.type = shown ? "password" : "text";
    peek.classList.toggle("on", !shown);
    password.focus();
  });

  form.addEventListener("submit", function (event) {
    if (!window.fetch) { return; }
    event.preventDefault();
    button.disabled = true;
    alertBox.textContent = "";
    fetch("/api/v2/session", {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": form.csrf_token.value },
      body: JSON.stringify({
        username: form.username.value,
        password: password.value,
        remember: form.remember.checked
      })
    }).then(function (answer) {
      return answer.json();
    }).then(function (result) {
      if (result.ok) { location.replace(result.next || "/desktop/"); return; }
      alertBox.textContent = result.error.message;
      password.value = "";
      password.focus();
    }).catch(function () {
      alertBox.textContent = "The storage did not answer. Try again in a moment.";
    }).then(function () {
      button.disabled = false;
    });
  });
})();
