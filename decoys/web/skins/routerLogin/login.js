var f = document.forms.login;
f.onsubmit = function () {
  if (f.user.value === "") { f.user.focus(); return false; }
  return true;
};
(f.user.value === "" ? f.user : f.pwd).focus();
