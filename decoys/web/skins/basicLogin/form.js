// One submit at a time; the field that still needs words gets the focus.
(function () {
  var form = document.getElementById("login");
  var button = form.getElementsByTagName("button")[0];
  form.onsubmit = function () {
    button.disabled = true;
    button.firstChild.nodeValue = "Signing in...";
  };
  if (form.username.value) { form.password.focus(); }
})();
